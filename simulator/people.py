"""Plausible staff of a fictional company, and the order of a day's punches."""

from collections.abc import Iterator

from simulator.device import Device
from simulator.records import Template, User, sample_data

_NAMES = (
    ("1", "Anita", "Rao", "Admin"),
    ("2", "Rajesh", "Kumar", "User"),
    ("3", "Fatima", "Sheikh", "User"),
    ("4", "David", "Thomas", "User"),
    ("5", "Mei", "Lin", "User"),
    ("6", "Carlos", "Mendes", "User"),
    ("7", "Priya", "Nair", "User"),
    ("8", "Samuel", "Okafor", "User"),
)
_CREDENTIALS = ("Fingerprint", "Face", "Card", "Palm", "Fingerprint", "Password", "Face", "Card")
_DAY = ("CheckIn", "BreakOut", "BreakIn", "CheckOut")
_NOON, _AFTERNOON = 11, 16


def staff(device: Device) -> None:
    """Put the staff into a device as if they had been enrolled long ago: nothing is pushed."""
    for (user_id, first, last, kind), credential in zip(_NAMES, _CREDENTIALS, strict=True):
        template = Template(credential, sample_data(credential))
        device.store_user(User(user_id, first, last, kind), [template])


def input_type(user: User) -> str:
    """Return the verification type of a user: that of the first credential other than a photo."""
    kinds = (kind for kind, _ in user.templates if kind != "UserPhoto")
    return next(kinds, "Card")


def punch_types(hour: int) -> Iterator[str]:
    """One person's punches from a given hour of the device's day on: in the morning, first of all, in."""
    first = 0 if hour < _NOON else 1 if hour < _AFTERNOON else 3
    while True:
        yield _DAY[first % len(_DAY)]
        first += 1
