"""The steps of a device's events, so that its page shows where they stop."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from app.console.texts import text
from app.store import Store

State = Literal["ok", "failed", "open"]


class Step(NamedTuple):
    """A check: its name in the texts, its state, and a sentence."""

    name: str
    state: State
    said: str


def steps(store: Store, device: dict[str, Any], base_url: str) -> list[Step]:
    """Return a device's steps from its data in the API: registered, reachable, heard, decrypted, delivered."""
    return [
        Step("registered", "ok", text("steps.registered")),
        _reachable(device, base_url),
        _heard(device),
        _decrypted(device),
        _delivered(store, device),
    ]


def _reachable(device: dict[str, Any], base_url: str) -> Step:
    if device["last_seen_at"] or device["refused_callbacks"]:
        return Step("reachable", "ok", text("steps.reachable"))
    if _is_private(base_url):
        return Step("reachable", "failed", text("steps.reachable_private", url=base_url))
    return Step("reachable", "open", text("steps.reachable_unknown"))


def _heard(device: dict[str, Any]) -> Step:
    if device["refused_note"]:
        return Step("heard", "failed", device["refused_note"])
    if device["last_seen_at"]:
        return Step("heard", "ok", text("steps.heard", count=device["callbacks"]))
    return Step("heard", "open", text("steps.heard_never"))


def _decrypted(device: dict[str, Any]) -> Step:
    if device["unrecognised"] and device["unrecognised"] == device["callbacks"]:
        return Step("decrypted", "failed", text("steps.unread"))
    if not device["last_seen_at"]:
        return Step("decrypted", "open", text("steps.decrypted_open"))
    name = "steps.decrypted" if device["has_security_key"] else "steps.plain"
    return Step("decrypted", "ok", text(name))


def _delivered(store: Store, device: dict[str, Any]) -> Step:
    taking = [
        subscription
        for subscription in store.subscriptions.all()
        if not subscription.device_ids or device["device_id"] in subscription.device_ids
    ]
    if not taking:
        return Step("delivered", "open", text("steps.no_subscription"))
    health = {one.id: store.delivery_counts.health(one.id) for one in taking}
    failing = sum(one.status != "active" or bool(health[one.id]["failing_since"]) for one in taking)
    if failing:
        return Step("delivered", "failed", text("steps.failing", failing=failing, count=len(taking)))
    if device["events"] and any(one["delivered"] for one in health.values()):
        return Step("delivered", "ok", text("steps.delivered", count=len(taking)))
    return Step("delivered", "open", text("steps.delivered_open", count=len(taking)))


def _is_private(url: str) -> bool:
    """Return whether a URL contains a private address. Names aren't looked up."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return not ip_address(host).is_global
    except ValueError:
        return False
