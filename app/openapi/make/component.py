"""A component of a Make app: its entry in makecomapp.json, and its files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from app.openapi.vocabulary import Json

CONNECTION = "camsRelay"

BY_HAND = object()
"""The placeholder for a file that is written by hand, in make-app/."""

# Codes whose files have another name.
_FILES = {"staticParams": "static-params", "mappableParams": "mappable-params"}


def kebab(name: str) -> str:
    """Convert a name to kebab case: `addUser` → `add-user`."""
    return re.sub(r"([a-z0-9])([A-Z])", r"\1-\2", name).lower()


@dataclass(frozen=True, slots=True)
class Component:
    """A component. `kind` is connection, webhook, rpc or module. `codes` are the contents of its files by code."""

    kind: str
    name: str
    label: str
    codes: dict[str, Any]
    meta: Json = field(default_factory=dict)
    group: str = ""

    def path(self, code: str) -> str:
        """Return the file's path in the app's folder, as Make's editor would choose it."""
        name = kebab(self.name)
        return f"{self.kind}s/{name}/{name}.{_FILES.get(code, code)}.iml.json"

    def described(self) -> Json:
        files = {code: self.path(code) for code in self.codes}
        return {"label": self.label, **self.meta, "codeFiles": files}


def module(
    kind: str, name: str, label: str, description: str, group: str, codes: dict[str, Any], **meta: Any
) -> Component:
    """Return a module. `kind` is Make's module type or, for an action, create, read, update or delete."""
    is_action = kind in ("create", "read", "update", "delete")
    described: Json = {
        "description": description,
        "moduleType": "action" if is_action else kind,
        **({"actionCrud": kind} if is_action else {}),
        "connection": CONNECTION,
        **meta,
    }
    return Component("module", name, label, {"staticParams": [], **codes}, described, group)


def by_hand(*codes: str) -> dict[str, Any]:
    return dict.fromkeys(codes, BY_HAND)
