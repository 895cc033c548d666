"""`/v1/users`: the users that devices reported and, with the scope `templates:read`, their templates."""

from __future__ import annotations

from heapq import nsmallest

from flask import Blueprint, Response

from app.api import cursors
from app.api.auth import caller, limited_by_device, needs, store
from app.api.find_device import find_device
from app.api.id_filters import device_ids
from app.api.problems import Problem, wrong
from app.api.query_parameters import takes
from app.api.request_helpers import answer, limit, page
from app.base.yielding import in_turns
from app.schemas.lengths import HIGHEST_INDEX
from app.store.access.scopes import PEOPLE_READERS
from app.store.devices.registry import Device
from app.store.server.damage import left_out

blueprint = Blueprint("users", __name__, url_prefix="/v1/users")

_DEVICES_A_TURN = 50


def _devices() -> list[Device]:
    """Return the devices in the parameter, or all devices, without those that aren't registered."""
    wanted = device_ids()
    if wanted:
        return [device for device in map(find_device, wanted) if device is not None]
    found = []
    for device_id in store().devices.ids():
        with left_out(f"device {device_id}"):
            device = store().devices.get(device_id)
            if device is not None:
                found.append(device)
    return found


@blueprint.get("")
@needs(*PEOPLE_READERS)
@limited_by_device
@takes("device_id", "limit", "cursor")
def show_all() -> Response:
    """Lists the users reported by devices, one row per user and device, sorted by user ID."""
    count = limit()
    # A user ID may contain line breaks; a device ID can't.
    after_user, _, after_device = (cursors.after() or "").rpartition("\n")
    places: list[tuple[str, str, Device]] = []
    for device in in_turns(_devices(), _DEVICES_A_TURN):
        # The row in the cursor was on the last page, but the same user's rows for later devices weren't.
        inclusive = after_user and device.id > after_device
        ids = store().users.page(device, after_user or None, count + 1)
        if inclusive and store().users.show(device, [after_user])[0] is not None:
            ids.insert(0, after_user)
        # Keep only the rows of this page, and one more that shows whether there is a next page.
        places = nsmallest(count + 1, [*places, *((user_id, device.id, device) for user_id in ids)])
    shown = places[:count]
    rows = [store().users.show(device, [user_id])[0] for user_id, _, device in shown]
    more = f"{shown[-1][0]}\n{shown[-1][1]}" if len(places) > count else None
    return page([row for row in rows if row is not None], more)


@blueprint.get("/<path:user_id>")
@needs(*PEOPLE_READERS)
@limited_by_device
@takes("device_id")
def show(user_id: str) -> Response:
    """Returns a user's profile and credentials on each device."""
    rows = [store().users.show(device, [user_id])[0] for device in _devices()]
    found = [row for row in rows if row is not None]
    if not found:
        raise Problem(404, "No device has reported a user with this ID.")
    return answer({"id": user_id, "user_id": user_id, "full_name": found[0]["full_name"], "devices": found})


@blueprint.get("/<path:user_id>/credentials/<credential_type>/<int:index>")
@needs("templates:read")
@limited_by_device
@takes("device_id")
def credential(user_id: str, credential_type: str, index: int) -> Response:
    """Returns a credential with its data. Each read is recorded in the audit log."""
    if index > HIGHEST_INDEX:
        raise wrong("index", f"must be from 0 to {HIGHEST_INDEX}")
    if len(device_ids()) != 1:
        raise wrong(
            "device_id",
            "must be the ID of the device that has the credential, e.g. ?device_id=ZHM1100001",
        )
    devices = _devices()
    if not devices:
        raise wrong("device_id", "is not a registered device")
    device = devices[0]
    found = store().users.credential(device, user_id, credential_type, index)
    store().audit.record(
        caller().id,
        "template.read",
        device_id=device.id,
        user_id=user_id,
        subject=f"{credential_type}:{index}",
        detail=None if found is not None else "there was none",
    )
    if found is None:
        raise Problem(404, "This user doesn't have this credential on this device.")
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
