"""Finds a device for a parameter."""

from __future__ import annotations

from app.api.auth import caller, store
from app.api.problems import Problem
from app.store.devices.registry import Device
from app.store.server.connection import is_away
from app.store.server.damage import DAMAGED


def find_device(device_id: str) -> Device | None:
    """Return the registered device with this ID, read again; None also if the caller's key may not access it.

    Raises a 409 Problem if its stored data is damaged.
    """
    if not caller().sees(device_id):
        return None
    try:
        return store().devices.refresh(device_id)
    except DAMAGED as error:
        if is_away(error):
            raise
        raise Problem(
            409,
            f"The stored data of device {device_id[:64]!r} can't be read. Remove the device and register it again. "
            "Its callbacks are kept until then.",
        ) from None
