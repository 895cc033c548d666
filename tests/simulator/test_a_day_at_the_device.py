"""The simulated device's staff behave like people, and continue to do so after any command."""

from itertools import islice

import pytest
from sim_tools import RecordingRelay, eventually

from simulator.device import Device
from simulator.life import Life
from simulator.people import punch_types, staff


@pytest.mark.parametrize(
    ("hour", "day"),
    [
        (8, ["CheckIn", "BreakOut", "BreakIn", "CheckOut", "CheckIn"]),
        (13, ["BreakOut", "BreakIn", "CheckOut", "CheckIn", "BreakOut"]),
        (18, ["CheckOut", "CheckIn", "BreakOut", "BreakIn", "CheckOut"]),
    ],
)
def test_the_initial_state_fits_the_hour(hour: int, day: list[str]) -> None:
    assert list(islice(punch_types(hour), 5)) == day


def test_the_staff_are_added_without_callbacks(device: Device, relay: RecordingRelay) -> None:
    staff(device)
    assert len(device.users) == 8 and device.template_count() == 8
    assert all(user.first_name and user.last_name for user in device.users.values())
    assert len(device.outbox) == 0 and relay.received == []


def test_the_staff_punch_and_are_photographed_and_edited(device: Device, relay: RecordingRelay) -> None:
    staff(device)
    Life(device, 0.001).start()
    seen: set[str] = set()

    def all_seen() -> bool:
        for received in list(relay.received):
            seen.update(received.json["RealTime"].keys() & {"PunchLog", "Log", "UserUpdated"})
        return len(seen) == 3

    def has_both() -> bool:
        """Return whether some punches had a temperature and some had none, which is random."""
        logs = [received.json["RealTime"].get("PunchLog") for received in list(relay.received)]
        return {"Temperature" in log for log in logs if log} == {True, False}

    eventually(all_seen, timeout=30)
    eventually(has_both, timeout=30)


def test_the_day_continues_when_users_are_disabled_or_deleted(device: Device, relay: RecordingRelay) -> None:
    staff(device)
    for user_id in ("1", "2", "3"):
        device.users[user_id].enabled = False
    device.drop_user("4")
    Life(device, 0.01).start()
    punches = [callback["RealTime"].get("PunchLog") for callback in relay.wait_for(8)]
    assert not {log["UserId"] for log in punches if log} & {"1", "2", "3", "4"}


def test_the_day_ends_when_the_device_is_removed(device: Device) -> None:
    staff(device)
    life = Life(device, 60)
    life.start()
    device.close()
    eventually(lambda: not life.running, timeout=2)
