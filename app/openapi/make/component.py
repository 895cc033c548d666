"""A component of an app of Make: what makecomapp.json says of it, and its files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from app.openapi.vocabulary import Json

CONNECTION = "camsRelay"

BY_HAND = object()
"""Stands for a file that is not made here but kept in make-app/."""

# A code whose file is called otherwise than the code.
_FILES = {"staticParams": "static-params", "mappableParams": "mappable-params"}


def kebab(name: str) -> str:
    """`addUser` → `add-user`."""
    return re.sub(r"([a-z0-9])([A-Z])", r"\1-\2", name).lower()


@dataclass(frozen=True, slots=True)
class Component:
    """`kind` is connection, webhook, rpc or module; `codes` are its files' contents by what they are."""

    kind: str
    name: str
    label: str
    codes: dict[str, Any]
    meta: Json = field(default_factory=dict)
    group: str = ""

    def path(self, code: str) -> str:
        """Where Make's editor would put the file, from the app's folder."""
        name = kebab(self.name)
        return f"{self.kind}s/{name}/{name}.{_FILES.get(code, code)}.iml.json"

    def described(self) -> Json:
        files = {code: self.path(code) for code in self.codes}
        return {"label": self.label, **self.meta, "codeFiles": files}


def module(
    kind: str, name: str, label: str, description: str, group: str, codes: dict[str, Any], **meta: Any
) -> Component:
    """A module; `kind` is Make's type of it, or what kind of action it is: create, read, update, delete."""
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
