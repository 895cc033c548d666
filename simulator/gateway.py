"""The simulated gateway: finds its devices by stgid, and passes commands on. Everything is in memory."""

import threading
import time

from simulator.codes import Code
from simulator.desk import Desk, Reply, make_answer, to_json
from simulator.device import Device
from simulator.envelope import open_envelope
from simulator.spec import DeviceSpec

_CLOSE_SECONDS = 1.0


class Gateway:
    """Holds devices and answers commands; safe to use from any thread or greenlet.

    `relay_url` is used, with `/callback` appended, for devices without their own `callback_url`.
    """

    def __init__(self, relay_url: str | None = None) -> None:
        self.relay_url = relay_url
        self._lock = threading.Lock()
        self._devices: dict[str, Device] = {}
        self._desks: dict[str, Desk] = {}

    def add_device(self, spec: DeviceSpec) -> Device:
        """Put a device into service. ValueError if its stgid is taken."""
        with self._lock:
            if spec.stgid in self._devices:
                raise ValueError(f"there is already a device {spec.stgid}")
            device = Device(spec, self.relay_url)
            self._devices[spec.stgid] = device
            self._desks[spec.stgid] = Desk(device)
            return device

    def device(self, stgid: str) -> Device:
        """Return the device with this stgid. Raises KeyError if there is none."""
        return self._devices[stgid]

    def desk(self, stgid: str) -> Desk:
        """Return the desk that answers a device's commands. Raises KeyError if there is none."""
        return self._desks[stgid]

    @property
    def devices(self) -> list[Device]:
        """Return the devices in the order they were added."""
        return list(self._devices.values())

    def remove_device(self, stgid: str) -> None:
        """Take a device out of service, with all that waits. KeyError if there is none."""
        with self._lock:
            device = self._devices.pop(stgid)
            del self._desks[stgid]
        device.close()

    def answer(self, stgid: str, raw: bytes) -> Reply:
        """The reply to a command for a service tag, which takes as long as the device does."""
        desk = self._desks.get(stgid)
        if desk is None:
            envelope = open_envelope(raw, None)
            return Reply(to_json(make_answer(envelope.operation_id, Code.INVALID_SERVICE_TAG_ID)))
        return desk.answer(raw)

    def close(self) -> None:
        """End every thread, within a second or so even while the relay leaves a callback hanging."""
        devices = self.devices
        for device in devices:
            self.remove_device(device.spec.stgid)
        deadline = time.monotonic() + _CLOSE_SECONDS
        for device in devices:
            device.outbox.join(max(0.0, deadline - time.monotonic()))
