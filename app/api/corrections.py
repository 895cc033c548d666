"""`/v1/corrections` and `/v1/punches`: the punches of a person's day, and their corrections."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, request

from app.api import cursors
from app.api.attendance import date_parameter, sites
from app.api.auth import caller, limited_by_device, needs, store
from app.api.id_filters import device_ids, not_allowed
from app.api.problems import Problem, wrong
from app.api.query_parameters import takes
from app.api.request_helpers import answer, body, created, existed, limit, page
from app.attendance.corrections import Correction, Reported
from app.attendance.corrections import local as local_time
from app.base import ids
from app.gateway.values import LONGEST_ID
from app.schemas.corrections import CorrectionBody
from app.store.access.scopes import PEOPLE_READERS
from app.store.attendance.corrections import TooManyCorrections, created_iso, shown
from app.store.attendance.view import DayPunch

blueprint = Blueprint("corrections", __name__, url_prefix="/v1")

_AHEAD_SECONDS = 7_200  # as far as a punch may be ahead of the relay's clock


def _one_user() -> str:
    user_id = request.args.get("user_id", "")
    if not user_id:
        raise wrong("user_id", "is required, e.g. user_id=2")
    if len(user_id) > LONGEST_ID:
        raise wrong("user_id", f"is longer than {LONGEST_ID} characters, so it matches nothing")
    return user_id


def _is_visible(one: Correction) -> bool:
    allowed = caller().device_ids
    return allowed is None or one.device_id in allowed


@blueprint.get("/punches")
@needs(*PEOPLE_READERS)
@limited_by_device
@takes("user_id", "date", "timezone", "device_id", "employee_id")
def show_punches() -> Response:
    """Lists the punches that belong to a person's day, by time, also those that were excluded or moved elsewhere."""
    return page(map(_punch_row, store().attendance.punches(_one_user(), date_parameter(), sites())), None)


def _punch_row(punch: DayPunch) -> dict[str, Any]:
    def local(at: int | None) -> str | None:
        return None if at is None else datetime.fromtimestamp(at, punch.place.zone).isoformat()

    mark, one = punch.mark, punch.correction
    reported = one.reported if one else Reported(mark.at, mark.offset, mark.direction)
    return {
        "id": punch.punch_id,
        "punch_id": punch.punch_id,
        "device_id": mark.device_id,
        "punched_at": local(one.at if one else mark.at),
        "direction": one.direction if one else mark.direction,
        "reported_at": local(reported.at) if reported else None,
        "reported_direction": reported.direction if reported else None,
        "status": "reported" if one is None or one.kind == "restored" else one.kind,
        "correction_id": one.id if one else None,
        "reason": one.reason if one else None,
        "author": one.author if one else None,
    }


@blueprint.get("/corrections")
@needs(*PEOPLE_READERS)
@limited_by_device
@takes("user_id", "device_id", "limit", "cursor")
def show_all() -> Response:
    """Lists a person's corrections, newest first, also those that later ones replaced."""
    after = cursors.after()
    found = [one for one in corrections_of(_one_user()) if after is None or _place(one) < after]
    rows = found[: limit()]
    return page(map(row_of, rows), _place(rows[-1]) if len(found) > len(rows) else None)


def corrections_of(user_id: str) -> list[Correction]:
    """Return a user's corrections on the requested devices, newest first."""
    devices = device_ids()
    found = store().correction_records.of([user_id]).get(user_id, [])
    return [one for one in reversed(found) if not devices or one.device_id in devices]


def _place(one: Correction) -> str:
    return f"{one.created_at:016d} {one.id}"


@blueprint.get("/corrections/<correction_id>")
@needs(*PEOPLE_READERS)
@limited_by_device
def show(correction_id: str) -> Response:
    """Returns a correction."""
    found = store().correction_records.find(correction_id)
    if found is None or not _is_visible(found):
        raise Problem(404, "There is no correction with this ID.")
    return answer(row_of(found))


@blueprint.post("/corrections")
@needs("devices:write")
@limited_by_device
def add() -> Response:
    """Corrects a punch: adds, changes, excludes or restores it. What the device reported stays stored."""
    values = body(CorrectionBody())
    wanted = _added(values) if values["kind"] == "added" else _changed(values)
    if wanted.at is not None:
        _check_time(wanted.at, wanted.offset)
    try:
        made, is_new = store().corrections.add(wanted)
    except TooManyCorrections:
        raise Problem(409, "This user has too many corrections.") from None
    if not is_new:
        return existed(row_of(made), f"/v1/corrections/{made.id}")
    about = {"device_id": made.device_id, "user_id": made.user_id, "subject": made.id, "detail": made.kind}
    store().audit.record(caller().id, "attendance.corrected", **about)
    return created(row_of(made), f"/v1/corrections/{made.id}")


def _added(values: dict[str, Any]) -> Correction:
    device_id = values["device_id"]
    allowed = caller().device_ids
    if allowed is not None and device_id not in allowed:
        raise not_allowed(device_id)
    if store().devices.get(device_id) is None:
        raise wrong("device_id", f"{device_id[:64]!r} is not a registered device")
    at = _time(values["punched_at"], device_id, None)
    return _correction(values, device_id, ids.random_id("pun"), _values(at, values.get("direction")), None)


def _changed(values: dict[str, Any]) -> Correction:
    """Return the correction of a punch that exists. Values that the request doesn't have stay as they are."""
    found = store().corrections.punch(values["user_id"], values["punch_id"])
    if found is None or not _is_visible(found):
        raise Problem(404, "This user has no punch with this ID.")
    kind, reported = values["kind"], found.reported
    if reported is not None:
        reported = replace(reported, offset=_offset(found.device_id, reported))
    now = reported
    if found.kind and found.at is not None:  # it was corrected before
        now = Reported(found.at, found.offset, found.direction)
    if kind == "restored":
        if reported is None:
            raise wrong(
                "kind", "can't be restored, because no device reported this punch. Send changed or excluded"
            )
        now = reported
    elif kind == "changed":
        if now is None and "punched_at" not in values:
            raise wrong("punched_at", "is required, because this punch was added and then excluded")
        direction = values.get("direction", now.direction if now else None)
        if "punched_at" in values:
            now = _values(_time(values["punched_at"], found.device_id, found.offset), direction)
        elif now is not None:
            now = replace(now, direction=direction)
    return _correction(values, found.device_id, found.punch_id, now, reported, found.offset)


def _time(text: str, device_id: str, offset: int | None) -> datetime:
    """Return a time at the device's site.

    If the device has no time zone set, `offset` is used for a time without one; None for that of its latest punch.
    """
    at = datetime.fromisoformat(text)
    device = store().devices.get(device_id)
    name = device.record["timezone"] if device else None
    if name in (None, "UTC"):
        if at.tzinfo is None:
            seconds = store().corrections.offset_of(device_id) if offset is None else offset
            if seconds is None:
                raise wrong(
                    "punched_at",
                    "needs an offset, e.g. 2026-11-24T18:00:00+05:30, because the device has neither a time zone nor "
                    "a punch",
                )
            at = at.replace(tzinfo=timezone(timedelta(seconds=seconds)))
        return at
    zone = ZoneInfo(name)
    return at.astimezone(zone) if at.tzinfo else at.replace(tzinfo=zone)


def _offset(device_id: str, reported: Reported) -> int:
    """Return the offset from UTC at the device's site, or that of the punch if the device has no time zone set."""
    at = datetime.fromtimestamp(reported.at, timezone(timedelta(seconds=reported.offset)))
    return _values(_time(at.isoformat(), device_id, reported.offset), None).offset


def _values(at: datetime, direction: str | None) -> Reported:
    offset = at.utcoffset()
    return Reported(int(at.timestamp()), int(offset.total_seconds()) if offset else 0, direction)


def _correction(
    values: dict[str, Any],
    device_id: str,
    punch_id: str,
    now: Reported | None,
    reported: Reported | None,
    offset: int = 0,
) -> Correction:
    counts = now is not None and values["kind"] != "excluded"
    return Correction(
        id="",
        kind=values["kind"],
        user_id=values["user_id"],
        device_id=device_id,
        punch_id=punch_id,
        at=now.at if now and counts else None,
        offset=now.offset if now else offset,
        direction=now.direction if now and counts else None,
        reported=reported,
        reason=values["reason"].strip(),
        author=values.get("author", "").strip() or caller().name,
        created_at=0,
    )


def _check_time(at: int, offset: int) -> None:
    now = time.time()
    if at > now + _AHEAD_SECONDS:
        raise wrong("punched_at", f"is in the future: it is {local_time(int(now), offset)} at the device")
    if at < now - store().correction_records.keep_seconds:
        raise wrong("punched_at", "is longer ago than punches are kept")


def row_of(one: Correction) -> dict[str, Any]:
    """Return a correction as the API shows it."""
    return {"id": one.id, "created_at": created_iso(one), "device_id": one.device_id, **shown(one)}
