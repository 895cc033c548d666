"""Reads the envelope of a callback: its JSON with folded keys, and its sender, before anything else is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.gateway import values
from app.gateway.rows import Row


@dataclass(frozen=True, slots=True)
class Envelope:
    """A callback's JSON with folded keys. Only its sender has been read."""

    document: dict[str, object]
    levels: list[
        tuple[dict[str, object], dict[str, object]]
    ]  # levels with sections, the inner one first, as sent and folded
    fields: dict[str, object]  # fields of the envelope, from both levels
    version: str = "3.0"  # of the Web API

    @property
    def auth_token(self) -> str | None:
        return _token(self.fields.get("authtoken"))

    @property
    def serial(self) -> str | None:
        return Row(self.fields, "", [], None).take("SerialNumber", values.name)


def envelope_of(document: object) -> Envelope:
    """Read the envelope. Never raises for a dict, whatever it contains; TypeError for anything else."""
    if not isinstance(document, dict):
        raise TypeError("a callback must be a JSON object")
    top = values.fold(document)
    inner = top.get("realtime")
    if not isinstance(inner, dict):
        info = top.get("apirequestinfo")
        if isinstance(info, dict):
            return Envelope(document, [(document, top)], _of_version_2(top, values.fold(info)), "2.0")
        return Envelope(document, [(document, top)], top)
    folded = values.fold(inner)
    fields = {**top, **_held(folded)} if len(top) > 1 else folded
    return Envelope(document, [(inner, folded), (document, top)], fields)


def _of_version_2(top: dict[str, object], info: dict[str, object]) -> dict[str, object]:
    """Read version 2.0, which has the AuthToken in ApiRequestInfo, and the device's ID as the serial number."""
    return {**top, "serialnumber": top.get("servicetagid"), **_held({"authtoken": info.get("authtoken")})}


def _held(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _token(value: object) -> str | None:
    """Return the token as it came, because it is compared. One with lone surrogates has no bytes and doesn't count."""
    if not isinstance(value, str) or not value:
        return None
    return value if value.isascii() or value.encode("utf-8", "replace").decode() == value else None
