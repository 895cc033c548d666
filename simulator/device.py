"""A simulated device: its users, templates, logs, photos and clock, and the actions of people.

Everything here happens at the device itself, so it sends callbacks. Commands (`simulator.execute`) change the same
state and send none, except for enrolments and resends.
"""

import base64
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from simulator import callbacks, legacy
from simulator.callbacks import Callback
from simulator.clock import Clock
from simulator.codes import AccessDenied, Code, Refused
from simulator.outbox import Outbox
from simulator.records import LogRow, Template, User
from simulator.spec import DeviceSpec

_PHOTOS_KEPT = 1000


class Device:
    """State and behaviour of one device. Every public method may be called from any thread."""

    def __init__(self, spec: DeviceSpec, relay_url: str | None) -> None:
        self.spec = spec
        self.clock = Clock(spec.timezone)
        self.outbox = Outbox(spec, relay_url)
        self.lock = threading.RLock()
        self.closed = threading.Event()
        self.users: dict[str, User] = {}
        # A full log memory forgets its oldest rows, like real devices.
        self.logs: deque[LogRow] = deque(maxlen=spec.max_logs)
        self.photos: deque[datetime] = deque(maxlen=_PHOTOS_KEPT)
        self.online = True
        self.timeout = False
        self.last_connected = self.clock.true_time()
        self._unsent: deque[Callback] = deque()
        self._reachable_hooks: list[Callable[[], None]] = []
        self._timers: set[threading.Timer] = set()
        self._last_punch: dict[str, datetime] = {}

    # --- the connection to the gateway ---

    @property
    def reachable(self) -> bool:
        """Return whether commands reach the device: it is connected and acknowledges them."""
        return self.online and not self.timeout

    def on_reachable(self, hook: Callable[[], None]) -> None:
        """Call `hook` whenever the device can be reached again."""
        self._reachable_hooks.append(hook)

    def switch(self, online: bool | None = None, timeout: bool | None = None) -> None:
        """Disconnect or connect the device, or make it stop acknowledging commands.

        When it is back, it first carries out the commands held by the gateway, and then sends its own callbacks.
        """
        with self.lock:
            was_reachable = self.reachable
            self.online = self.online if online is None else online
            self.timeout = self.timeout if timeout is None else timeout
            if self.online:
                self.last_connected = self.clock.true_time()
            if self.reachable and not was_reachable:
                for hook in self._reachable_hooks:
                    hook()
            while self.online and self._unsent:
                self._hand_over(self._unsent.popleft())

    @property
    def kept_on_device(self) -> int:
        """Return the callbacks that the device couldn't send to the gateway because it is offline."""
        return len(self._unsent)

    def emit(self, callback: Callback) -> None:
        """Report something to the gateway, now or when the device is connected again."""
        if not self.spec.reports(callback.operation):
            return
        with self.lock:
            if self.online:
                self._hand_over(callback)
            else:
                self._unsent.append(callback)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something at the device after a while, unless it is closed before."""

        def run() -> None:
            with self.lock:
                self._timers.discard(timer)
                if not self.closed.is_set():
                    action()

        timer = threading.Timer(seconds, run)
        timer.daemon = True
        with self.lock:
            self._timers.add(timer)
            timer.start()

    def close(self) -> None:
        """End the device's threads and whatever waits for it."""
        self.closed.set()
        with self.lock:
            for timer in self._timers:
                timer.cancel()
        self.outbox.close()

    def _hand_over(self, callback: Callback) -> None:
        if self.spec.api_version == "3.0":
            self.outbox.put(callback.operation, callback.stamp(self.spec))
            return
        convert = legacy.version_1 if self.spec.api_version == "1.0" else legacy.version_2
        for text in convert(callback, self.spec):
            self.outbox.put(callback.operation, text.decode(), self.spec.api_version)

    # --- actions of people at the device ---

    def punch(
        self,
        user_id: str,
        type: str = "CheckIn",
        input_type: str = "Fingerprint",
        temperature: float | None = None,
        face_mask: bool | None = None,
        at: datetime | None = None,
        photo: bytes | None = None,
    ) -> LogRow:
        """Let a person punch: one log row, callback #11, and #10 if a photo was taken.

        `type` and `input_type` are the gateway's words. An ID that isn't in the user list is accepted, because a real
        device can have users that nobody else knows. AccessDenied for a user who is disabled or outside the access
        time.
        """
        with self.lock:
            user = self.users.get(user_id)
            if user is not None and not user.admitted_at(at or self.clock.now()):
                raise AccessDenied(f"user {user_id} is turned away by the device")
            moment = at or self._free_second(user_id)
            row = LogRow(user_id, moment, type, input_type, temperature, face_mask)
            self.logs.append(row)
            self.emit(callbacks.punch(row))
            if photo is not None:
                self.take_photo(user_id, photo, moment)
            return row

    def take_photo(self, user_id: str, photo: bytes, at: datetime | None = None) -> datetime:
        """Take a photo of somebody punching: callback #10."""
        with self.lock:
            moment = at or self.clock.now()
            self.photos.append(moment)
            encoded = base64.b64encode(photo).decode()
            self.emit(callbacks.attendance_photo(user_id, encoded, moment))
            return moment

    def push_batch(self, rows: Sequence[LogRow], top_level: bool = False) -> None:
        """Send rows in one historical batch."""
        with self.lock:
            self.logs.extend(rows)
            self.emit(callbacks.punch_batch(rows, top_level))

    def edit_user(
        self,
        user_id: str,
        first_name: str | None = None,
        last_name: str | None = None,
        user_type: str | None = None,
        templates: Sequence[Template] = (),
        grouped: bool = False,
    ) -> User:
        """Add or change a user at the keypad: callbacks #3 to #9, one per template unless grouped.

        Refused 11 if the device is full.
        """
        with self.lock:
            named = (first_name, last_name, user_type) != (None, None, None)
            user = self.users.get(user_id) or User(user_id)
            user = self.store_user(user, templates)
            user.first_name = user.first_name if first_name is None else first_name
            user.last_name = user.last_name if last_name is None else last_name
            user.user_type = user.user_type if user_type is None else user_type
            for callback in self._user_callbacks(user, templates, named, grouped):
                self.emit(callback)
            return user

    def remove_user(self, user_id: str) -> None:
        """Delete a user at the keypad: callback #1. Refused 9 for an unknown ID."""
        with self.lock:
            self.drop_user(user_id)
            self.emit(callbacks.user_deleted(user_id, self.clock.now()))

    def set_clock(self, moment: datetime) -> None:
        """Set the clock at the keypad: callback #2, with the time of the clock before the change."""
        with self.lock:
            before = self.clock.now()
            self.clock.set_to(moment)
            self._last_punch.clear()
            self.emit(callbacks.date_modified(moment, before))

    def drift(self, seconds: float) -> None:
        """Make the clock wrong by this much, without reporting it."""
        with self.lock:
            self.clock.skew = timedelta(seconds=seconds)
            self._last_punch.clear()

    # --- state shared with the commands ---

    def find_user(self, user_id: str) -> User:
        """Return a user. Refused 9 if there is none."""
        user = self.users.get(user_id)
        if user is None:
            raise Refused(Code.USER_NOT_FOUND, f"no user {user_id}")
        return user

    def drop_user(self, user_id: str) -> None:
        self.find_user(user_id)
        del self.users[user_id]

    def store_user(self, user: User, templates: Sequence[Template] = ()) -> User:
        """Store a new user or more templates of a known one. Refused 11 if there is no room."""
        new = {template.key for template in templates} - user.templates.keys()
        if user.user_id not in self.users and len(self.users) >= self.spec.max_users:
            raise Refused(Code.DEVICE_MEMORY_FULL, f"room for {self.spec.max_users} users")
        if self.template_count() + len(new) > self.spec.max_templates:
            raise Refused(Code.DEVICE_MEMORY_FULL, f"room for {self.spec.max_templates} templates")
        user.templates.update({template.key: template for template in templates})
        self.users[user.user_id] = user
        return user

    def template_count(self, kind: str | None = None) -> int:
        """Count all templates of the device, or those of one type."""
        return sum(kind in (None, key[0]) for user in self.users.values() for key in user.templates)

    def push_user(self, user: User) -> None:
        """Send a whole user again, with the profile and all templates."""
        for callback in self._user_callbacks(user, list(user.templates.values()), named=True, grouped=False):
            self.emit(callback)

    def _user_callbacks(
        self, user: User, templates: Sequence[Template], named: bool, grouped: bool
    ) -> list[Callback]:
        at = self.clock.now()
        if grouped or not templates:
            return [callbacks.user_updated(user, templates, at)]
        made = [callbacks.user_updated(user, [template], at) for template in templates]
        told = any("UserID" in _updated(callback) for callback in made)
        # Fingerprints, faces and palms are sent without the name. If only those changed, #3 reports the name.
        return made if told or not named else [callbacks.user_updated(user, [], at), *made]

    def _free_second(self, user_id: str) -> datetime:
        """Return now, or the second after this user's last punch: devices don't log a person twice in one second."""
        now, last = self.clock.now(), self._last_punch.get(user_id)
        moment = now if last is None else max(now, last + timedelta(seconds=1))
        self._last_punch[user_id] = moment
        return moment


def _updated(callback: Callback) -> dict[str, object]:
    updated = callback.content["UserUpdated"]
    assert isinstance(updated, dict)
    return updated
