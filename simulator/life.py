"""A device in use: somebody punches every few seconds, and sometimes something else happens."""

import random
import threading
from collections.abc import Iterator

from simulator.codes import AccessDenied, Refused
from simulator.device import Device
from simulator.jpeg import make_jpeg
from simulator.people import input_type, punch_types
from simulator.records import User

_TEMPERATURE_SHARE, _PHOTO_SHARE, _EDIT_SHARE = 0.4, 0.2, 0.03
_PHOTO_BYTES = 12000


class Life:
    """The thread that lives it. It sends its users, then the first punch comes at once."""

    def __init__(self, device: Device, interval: float) -> None:
        self._device = device
        self._interval = interval
        self._days: dict[str, Iterator[str]] = {}
        self._turn = 0
        self._thread = threading.Thread(target=self._run, name=f"life-{device.spec.stgid}", daemon=True)

    def start(self) -> None:
        """Runs until the device is closed."""
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        # As machines do when they connect: so that the relay knows the names of who punches.
        with self._device.lock:
            users = list(self._device.users.values())
        for user in users:
            self._device.push_user(user)
        while not self._device.closed.is_set():
            self._moment()
            self._device.closed.wait(self._interval)

    def _moment(self) -> None:
        with self._device.lock:
            users = list(self._device.users.values())
        if not users:
            return
        user = users[self._turn % len(users)]
        self._turn += 1
        try:
            self._punch(user)
            if self._turn > 1 and random.random() < _EDIT_SHARE:
                self._device.edit_user(user.user_id, user.first_name, user.last_name, user.user_type)
        except (AccessDenied, Refused):
            # Disabled or deleted by a command meanwhile: the next one punches.
            return

    def _punch(self, user: User) -> None:
        hour = self._device.clock.now().hour
        kind = next(self._days.setdefault(user.user_id, punch_types(hour)))
        measured = random.random() < _TEMPERATURE_SHARE
        photo = self._turn > 1 and random.random() < _PHOTO_SHARE
        self._device.punch(
            user.user_id,
            kind,
            input_type(user),
            temperature=round(random.uniform(36.2, 37.2), 1) if measured else None,
            face_mask=random.random() < 0.1 if measured else None,
            photo=make_jpeg(f"{user.user_id}-{self._turn}", _PHOTO_BYTES) if photo else None,
        )
