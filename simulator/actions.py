"""The control API's actions, which do what a person at a device can do: one function each, from JSON fields.

Names are those of cams-relay (`check_in`, `user_photo`); the gateway's spelling is also accepted.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from simulator.clock import to_wire
from simulator.device import Device
from simulator.fields import Fields
from simulator.flood import past_rows, start_flood
from simulator.jpeg import make_jpeg
from simulator.records import INDEXED, Template, camel, punch_type, sample_data, template_type

_PHOTO_BYTES = 30 * 1024

Done = dict[str, object]


def punch(device: Device, fields: Fields) -> Done:
    """{user_id, type, input_type, temperature, face_mask, at, photo}"""
    user_id, kind = fields.needed_text("user_id"), punch_type(fields.text("type") or "check_in")
    input_type = camel(fields.text("input_type") or "fingerprint")
    temperature, face_mask = fields.number("temperature"), fields.flag("face_mask")
    at, photo = _moment(device, fields.text("at")), fields.flag("photo")
    fields.done()
    picture = make_jpeg(f"{user_id} {device.clock.true_time()}", _PHOTO_BYTES) if photo else None
    row = device.punch(user_id, kind, input_type, temperature, face_mask, at, picture)
    return {"user_id": user_id, "type": row.type, "input_type": row.input_type, "log_time": to_wire(row.at)}


def user(device: Device, fields: Fields) -> Done:
    """{user_id, first_name, last_name, user_type, credentials, grouped}

    `credentials` are types (`"card"`, made-up data) or items {type, index, data}; each is a callback of its
    own unless `grouped`.
    """
    user_id, kind = fields.needed_text("user_id"), fields.text("user_type")
    first_name, last_name = fields.text("first_name"), fields.text("last_name")
    items, grouped = fields.any("credentials") or [], fields.flag("grouped")
    fields.done()
    if not isinstance(items, list):
        raise ValueError("credentials must be a list")
    templates = [_template(item) for item in items]
    kind = kind.capitalize() if kind else None
    edited = device.edit_user(user_id, first_name, last_name, kind, templates, bool(grouped))
    return {"user_id": edited.user_id, "credentials": [template.type for template in templates]}


def photo(device: Device, fields: Fields) -> Done:
    """{user_id, at, size_bytes}"""
    user_id, size = fields.needed_text("user_id"), fields.whole("size_bytes")
    at = _moment(device, fields.text("at"))
    fields.done()
    picture = make_jpeg(f"{user_id} {device.clock.true_time()}", _PHOTO_BYTES if size is None else size)
    taken = device.take_photo(user_id, picture, at)
    return {"user_id": user_id, "size_bytes": len(picture), "log_time": to_wire(taken)}


def delete_user(device: Device, fields: Fields) -> Done:
    """{user_id}"""
    user_id = fields.needed_text("user_id")
    fields.done()
    device.remove_user(user_id)
    return {"user_id": user_id}


def time(device: Device, fields: Fields) -> Done:
    """{to} or {shift_seconds}: somebody sets the clock. Without either it is set right."""
    to, shift = _moment(device, fields.text("to")), fields.number("shift_seconds")
    fields.done()
    if shift is not None:
        to = device.clock.now() + timedelta(seconds=shift)
    changed_to = to or device.clock.true_time().replace(microsecond=0)
    device.set_clock(changed_to)
    return {"changed_to": to_wire(changed_to)}


def batch(device: Device, fields: Fields) -> Done:
    """{count, top_level}: a historical batch in one callback."""
    count, top_level = fields.whole("count") or 10, fields.flag("top_level")
    fields.done()
    device.push_batch(past_rows(device, count), bool(top_level))
    return {"count": count}


def resend(device: Device, fields: Fields) -> Done:
    """{last}: the last acknowledged callbacks again, the same to the byte."""
    last = fields.whole("last")
    fields.done()
    return {"count": device.outbox.resend(1 if last is None else last)}


def flood(device: Device, fields: Fields) -> Done:
    """{rate, count} or {rate, seconds}: punches in the background; without a rate as fast as it goes."""
    rate, count, seconds = fields.number("rate"), fields.whole("count"), fields.number("seconds")
    fields.done()
    if count is None:
        if rate is None or seconds is None:
            raise ValueError("send count, or rate and seconds")
        count = int(rate * seconds)
    start_flood(device, rate, count)
    return {"count": count, "rate": rate}


def raw(device: Device, fields: Fields) -> Done:
    """{body}: queue any body at all, an object or a text, as it is. `"$AUTH_TOKEN"` becomes the device's."""
    body = fields.any("body")
    fields.done()
    device.outbox.put("raw", _with_token(body, device.spec.auth_token))
    return {}


ACTIONS: dict[str, Callable[[Device, Fields], Done]] = {
    "punch": punch,
    "user": user,
    "photo": photo,
    "delete-user": delete_user,
    "time": time,
    "batch": batch,
    "resend": resend,
    "flood": flood,
    "raw": raw,
}


def _moment(device: Device, text: str | None) -> datetime | None:
    return None if text is None else device.clock.read(text)


def _template(item: object) -> Template:
    if isinstance(item, str):
        item = {"type": item}
    fields = Fields(item)
    kind = template_type(fields.needed_text("type"))
    index, data = fields.whole("index") or 0, fields.text("data")
    fields.done()
    return Template(kind, data or sample_data(kind), index if kind in INDEXED else 0)


def _with_token(value: object, token: str) -> object:
    if isinstance(value, dict):
        return {key: _with_token(item, token) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_token(item, token) for item in value]
    return value.replace("$AUTH_TOKEN", token) if isinstance(value, str) else value
