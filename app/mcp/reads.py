"""Tools that answer questions with a few calls of the relay's API and a short response.

People type names and labels at devices, so a name could contain instructions for the model. Each is shortened to one
line, and is only a value in the response's JSON.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from app.attendance.rules import Rules, day_of, site
from app.mcp.api_client import Json, Relay, one_id
from app.mcp.tools import Progress, Tool, ToolError, line, part, text
from app.store.access.scopes import DEVICE_READERS, PEOPLE_READERS, SUBSCRIPTION_READERS

_PAGE = 200
_MOST_PAGES = 25
_MOST_ROWS = 100
_MOST_FAILED = 30
_SILENT_SECONDS = 3600
_PUNCH = (
    *("employee_id", "local_date", "local_time", "punch_type", "direction", "input_type"),
    *("device_id", "device_label", "is_late_arrival"),
)

_DEVICE_ID = text("Service Tag ID of a device: only this device. list_devices returns the IDs.", "ZHM1100001")
_USER_ID = text("The person's ID on the devices. find_person returns it for a name.", "100", minLength=1)


async def _pages(relay: Relay, path: str, most: int = _MOST_PAGES, **query: Any) -> AsyncIterator[list[Json]]:
    """Yield up to `most` pages of a list."""
    cursor = None
    for _ in range(most):
        page = await relay.get(path, limit=_PAGE, cursor=cursor, **query)
        yield page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


async def _rows(relay: Relay, path: str, most: int = _MOST_PAGES, **query: Any) -> list[Json]:
    return [row async for page in _pages(relay, path, most, **query) for row in page]


# People


async def _who_is_in(relay: Relay, arguments: Json, _: Progress) -> Json:
    latest, note = await _latest_of_today(relay, arguments.get("device_id"))
    people = sorted(latest, key=lambda punch: str(punch["user_name"] or punch["user_id"]))
    sides = {
        side: [punch for punch in people if punch["direction"] == direction]
        for side, direction in (("in", "in"), ("left", "out"), ("unclear", None))
    }
    answer: Json = {"as_of": datetime.now(UTC).isoformat(timespec="seconds")}
    for side, punches in sides.items():
        answer |= {f"{side}_count": len(punches), side: [_present(punch) for punch in punches[:_MOST_ROWS]]}
    if max(len(punches) for punches in sides.values()) > _MOST_ROWS:
        answer["note"] = f"Only the first {_MOST_ROWS} of each are shown, but all are counted."
    return answer | ({"note": note} if note else {})


async def _latest_of_today(relay: Relay, device_id: str | None) -> tuple[list[Json], str | None]:
    """Return each person's latest punch of today (at the device), and a note if some punches weren't read."""
    now = datetime.now(UTC).timestamp()
    since = datetime.fromtimestamp(
        now - 38 * 3_600, UTC
    ).isoformat()  # today began later than this in every time zone
    rules = Rules((await relay.get("/v1/me"))["day_starts_minutes"])
    zones = {row["device_id"]: row["timezone"] for row in await _rows(relay, "/v1/devices")}
    latest: dict[tuple[str, str | None], Json] = {}
    count, oldest = 0, ""
    async for page in _pages(relay, "/v1/events", type="attendance.punch", since=since, device_id=device_id):
        for punch in page:
            count, oldest = count + 1, punch["received_at"]
            if not punch["clock_suspect"] and _of_today(punch, zones.get(punch["device_id"]), rules, now):
                who = (punch["user_id"], punch.get("employee_id"))
                if who not in latest or _in_order(punch) > _in_order(latest[who]):
                    latest[who] = punch
    cut = count == _PAGE * _MOST_PAGES
    note = f"Only the latest {count} punches, back to {oldest}, were read. To see others, ask for one device."
    return list(latest.values()), note if cut else None


def _in_order(punch: Json) -> tuple[str, bool]:
    """Return a sort key by time. If an in and an out are in the same second, the in comes last."""
    return punch["occurred_at_utc"] or "", punch["direction"] == "in"


def _of_today(punch: Json, timezone: str | None, rules: Rules, now: float) -> bool:
    """Return whether a punch belongs to today at the device, by the rules of the attendance view."""
    at = datetime.fromisoformat(punch["occurred_at"])
    zone = site(timezone, int((at.utcoffset() or timedelta()).total_seconds())).zone
    return day_of(int(at.timestamp()), zone, rules) == day_of(int(now), zone, rules)


def _present(punch: Json) -> Json:
    return part(punch, "user_id", "user_name", "employee_id", "punch_type", "local_time", "device_label")


async def _punches_of_person(relay: Relay, arguments: Json, _: Progress) -> Json:
    since = arguments.get("since") or (datetime.now(UTC) - timedelta(days=7)).isoformat(timespec="seconds")
    query = {"type": "attendance.punch", "since": since, "until": arguments.get("until")}
    page = await relay.get(
        "/v1/events",
        user_id=one_id(arguments["user_id"]),
        device_id=arguments.get("device_id"),
        limit=_MOST_ROWS,
        **query,
    )
    punches = page["data"]
    answer = {
        "user_id": arguments["user_id"],
        "user_name": line(_name_in(punches)),
        "since": since,
        "punch_count": len(punches),
        "punches": [part(punch, *_PUNCH) for punch in punches],
    }
    if page["next_cursor"]:
        answer["note"] = (
            f"Only the latest {_MOST_ROWS} are shown. To see others, ask for a shorter time range."
        )
    return answer


def _name_in(punches: list[Json]) -> str | None:
    """Return the latest punch's name, if any; None if the punches belong to several people."""
    if len({punch.get("employee_id") for punch in punches} - {None}) > 1:
        return None
    return next((punch["user_name"] for punch in punches if punch["user_name"]), None)


async def _find_person(relay: Relay, arguments: Json, _: Progress) -> Json:
    wanted = arguments["name_or_id"].casefold().split()
    found: list[Json] = []
    seen = 0
    async for page in _pages(relay, "/v1/users", device_id=arguments.get("device_id")):
        seen += len(page)
        for row in page:
            words = f"{row['user_id']} {row['full_name'] or ''}".casefold()
            if all(word in words for word in wanted):
                found.append(row)
    answer: Json = {"found_count": len(found), "people": [_person(row) for row in found[:_MOST_FAILED]]}
    if len(found) > _MOST_FAILED:
        answer["note"] = f"Only the first {_MOST_FAILED} are shown. To see others, give more of the name."
    elif seen == _PAGE * _MOST_PAGES:
        answer["note"] = f"Only the first {seen} users were searched. To search others, ask for one device."
    return answer


def _person(row: Json) -> Json:
    # The types of credentials, never their data.
    kinds = sorted({credential["credential_type"] for credential in row["credentials"]})
    return {
        **part(row, "user_id", "full_name", "user_type", "device_id", "device_label"),
        "credential_types": kinds,
    }


# Devices


async def _list_devices(relay: Relay, _arguments: Json, _: Progress) -> Json:
    now = datetime.now(UTC)
    devices = [_device(row, now) for row in await _rows(relay, "/v1/devices")]
    silent = [device["device_id"] for device in devices if device["state"] != "heard within the hour"]
    return {"device_count": len(devices), "not_heard_within_the_hour": silent, "devices": devices}


def _device(row: Json, now: datetime) -> Json:
    at = row.get("last_seen_at")
    state, minutes = "never heard", None
    if at:
        gone = (now - datetime.fromisoformat(at)).total_seconds()
        minutes = max(0, int(gone // 60))
        state = "heard within the hour" if gone < _SILENT_SECONDS else "not heard within the hour"
    names = (
        "device_id",
        "label",
        "mode",
        "timezone",
        "last_seen_at",
        "silent_since",
        "events",
        "unrecognised",
    )
    shown = part(row, *names)
    return {
        **shown,
        "state": state,
        "minutes_since_last_seen": minutes,
        "takes_commands": bool(row["gateway_url"]),
    }


# Subscriptions


async def _list_subscriptions(relay: Relay, _arguments: Json, _: Progress) -> Json:
    rows = await _rows(relay, "/v1/subscriptions")
    return {
        "subscription_count": len(rows),
        "subscriptions": [_subscription(row) for row in rows[:_MOST_ROWS]],
    }


def _subscription(row: Json) -> Json:
    names = (
        "id",
        "description",
        "status",
        "disabled_reason",
        "parked_reason",
        "unknown_device_ids",
        "pending",
        "retrying",
        "dead",
        "delivered",
        "failing_since",
    )
    # On most platforms, the rest of a webhook's URL is a secret.
    return {
        **part(row, *names),
        "target_host": urlsplit(row["target_url"]).hostname,
        "event_types": row["event_types"],
    }


async def _failed_deliveries(relay: Relay, arguments: Json, _: Progress) -> Json:
    wanted = arguments.get("subscription_id")
    rows = await _rows(relay, "/v1/subscriptions")
    if wanted and not any(row["id"] == wanted for row in rows):
        raise ToolError(
            "subscription_id: there is no such subscription. list_subscriptions lists all of them"
        )
    troubled = [
        row for row in rows if row["id"] == wanted or (not wanted and (row["retrying"] or row["dead"]))
    ]
    failed: list[Json] = []
    for row in troubled:
        for status in ("dead", "retrying"):
            path = f"/v1/subscriptions/{quote(row['id'], safe='')}/deliveries"
            page = await relay.get(path, status=status, limit=_MOST_FAILED)
            failed += [_delivery(row, delivery) for delivery in page["data"]]
    failed.sort(key=lambda delivery: str(delivery["last_attempt_at"]), reverse=True)
    return {
        "waiting_for_a_retry": sum(row["retrying"] for row in troubled),
        "given_up": sum(row["dead"] for row in troubled),
        "latest": failed[:_MOST_FAILED],
    }


def _delivery(subscription: Json, row: Json) -> Json:
    names = (
        *("id", "event_id", "event_type", "status", "attempt_count", "response_status", "error"),
        *("last_attempt_at", "next_attempt_at"),
    )
    host = urlsplit(subscription["target_url"]).hostname
    return {"subscription_id": subscription["id"], "target_host": host, **part(row, *names)}


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="who_is_in",
        title="Who is in",
        description="Lists who is in today and who has left, by each person's latest punch on the device's day.",
        scopes=("events:read",),
        run=_who_is_in,
        fields={"device_id": _DEVICE_ID},
    ),
    Tool(
        name="punches_of_person",
        title="A person's punches",
        description="Lists a person's latest punches, newest first, at most 100. By default, those of the last 7 days.",
        scopes=("events:read",),
        run=_punches_of_person,
        fields={
            "user_id": _USER_ID,
            "since": text(
                "Received at this time or later (ISO 8601; UTC if there is no offset).",
                "2026-11-24T00:00:00+05:30",
            ),
            "until": text(
                "Received at this time or earlier (ISO 8601). The default is the current time.",
                "2026-11-25T00:00:00+05:30",
            ),
            "device_id": _DEVICE_ID,
        },
        required=("user_id",),
    ),
    Tool(
        name="find_person",
        title="Find person",
        description="Finds people on the devices by part of their name or by their ID.",
        scopes=PEOPLE_READERS,
        run=_find_person,
        fields={
            "name_or_id": text("Part of the name, or the ID.", "Asha", minLength=1),
            "device_id": _DEVICE_ID,
        },
        required=("name_or_id",),
    ),
    Tool(
        name="list_devices",
        title="List devices",
        description="Lists the attendance machines: name, last contact, and whether each accepts commands.",
        scopes=DEVICE_READERS,
        run=_list_devices,
    ),
    Tool(
        name="list_subscriptions",
        title="List subscriptions",
        description="Lists the webhooks that events are delivered to, by host, with the state of deliveries.",
        scopes=SUBSCRIPTION_READERS,
        run=_list_subscriptions,
    ),
    Tool(
        name="failed_deliveries",
        title="Failed deliveries",
        description="Lists deliveries to webhooks that failed: those waiting for a retry, and dead letters.",
        scopes=SUBSCRIPTION_READERS,
        run=_failed_deliveries,
        fields={
            "subscription_id": text(
                "Only this subscription. list_subscriptions returns the IDs.", "sub_4h3gw8x2m1k6p9r5t7v3y2b1"
            )
        },
    ),
)
