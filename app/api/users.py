"""`/v1/users`: the users that devices reported, and, for a scope of its own, their templates."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, g, request

from app.api.auth import needs, store
from app.api.io import answer, limit, page
from app.api.problems import Problem, wrong
from app.store.devices import Device

audit = logging.getLogger("relay.audit")

blueprint = Blueprint("users", __name__, url_prefix="/v1/users")


def _devices() -> list[Device]:
    """The device in the parameters, or all of them; none where it is not registered."""
    wanted = request.args.get("device_id")
    if wanted:
        device = store().devices.refresh(wanted)
        return [] if device is None else [device]
    found = (store().devices.get(device_id) for device_id in store().devices.ids())
    return [device for device in found if device is not None]


@blueprint.get("")
@needs("events:read")
def show_all() -> Response:
    """A row for each user of each device, by user id."""
    count = limit()
    after_user, _, after_device = request.args.get("cursor", "").partition("\n")
    places: list[tuple[str, Device]] = []
    for device in _devices():
        # The row the cursor names was shown; the same user's rows of later devices were not.
        inclusive = after_user and device.id > after_device
        ids = store().users.page(device, after_user or None, count + 1)
        if inclusive and store().users.show(device, [after_user])[0] is not None:
            ids.insert(0, after_user)
        places.extend((user_id, device) for user_id in ids)
    places.sort(key=lambda place: (place[0], place[1].id))
    shown = places[:count]
    rows = [store().users.show(device, [user_id])[0] for user_id, device in shown]
    more = f"{shown[-1][0]}\n{shown[-1][1].id}" if len(places) > count else None
    return page([row for row in rows if row is not None], more)


@blueprint.get("/<path:user_id>")
@needs("events:read")
def show(user_id: str) -> Response:
    """One user: profile and credentials on each device that has them."""
    rows = [store().users.show(device, [user_id])[0] for device in _devices()]
    found = [row for row in rows if row is not None]
    if not found:
        raise Problem(404, "No device has reported a user with this ID.")
    return answer({"user_id": user_id, "full_name": found[0]["full_name"], "devices": found})


@blueprint.get("/<path:user_id>/credentials/<credential_type>/<int:index>")
@needs("templates:read")
def credential(user_id: str, credential_type: str, index: int) -> Response:
    """A credential with its data. Who read it is written to the log."""
    if not request.args.get("device_id"):
        raise wrong("device_id", "is needed: the device whose template it is, e.g. ?device_id=ZHM1100001")
    devices = _devices()
    if not devices:
        raise wrong("device_id", "is not a registered device")
    device = devices[0]
    found = store().users.credential(device, user_id, credential_type, index)
    audit.warning(
        "template read: key=%s device=%s user=%s type=%s index=%d found=%s",
        g.caller.id,
        device.id,
        repr(user_id[:64]),
        repr(credential_type[:32]),
        index,
        found is not None,
    )
    if found is None:
        raise Problem(404, "This user has no such credential on this device.")
    shown = {
        "user_id": user_id,
        "device_id": device.id,
        "credential_type": credential_type,
        "credential_index": index,
        "credential_size_bytes": found["size_bytes"],
        "credential_digest": found["digest"],
        "updated_at": found["updated_at"],
        "data": found["data"],
    }
    return answer(shown, Cache_Control="no-store")
