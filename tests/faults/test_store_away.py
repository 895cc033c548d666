"""The store is killed, stopped, frozen or restarted: callbacks wait on disk, and deliveries continue automatically."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from app.settings.table import load as load_settings
from app.store.server.store_id import FILE
from app.store.spool.records import MARKER
from tests.delivery.tools import shown
from tests.faults.load import Load, all_came_once, identity_of
from tests.harness import Device, Received, Receiver, Relay, wait_for
from tests.processes import children
from tests.relay.tools import sealed as encrypted


def spool_files(relay: Relay) -> list[Path]:
    """Return the spool's segments."""
    return sorted((relay.folder / "data" / "spool").glob("*.spool"))


def users_in_order(device: Device) -> list[str]:
    """Return the users of the stored punches, in order of receipt."""
    return [event["user_id"] for event in device.relay.events(device_id=device.id)]


def stop_store(relay: Relay) -> None:
    relay.kill("store")


@contextmanager
def frozen(relay: Relay) -> Iterator[None]:
    """The store's server accepts connections but doesn't answer."""
    (server,) = [
        pid for pid, command in children(relay.processes["store"].pid).items() if "valkey" in command
    ]
    os.kill(server, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server, signal.SIGCONT)


def test_callbacks_wait_on_disk_and_are_stored_in_order(
    start: Callable[..., Relay], receiver: Receiver
) -> None:
    relay = start(WEB_CONCURRENCY="1")
    device = relay.device()
    relay.subscribe(receiver, device, max_in_flight=1)
    device.send_done(device.punch("before"))
    receiver.wait(1)
    stop_store(relay)
    again = device.punch("u7")
    for number in range(40):
        device.send_done(again if number == 7 else device.punch(f"u{number}"))
    device.send_done(again)  # the gateway sends it twice
    assert spool_files(relay)
    health = relay.get("/health")
    assert (health["status"], health["store"]) == ("ok", "away")
    assert health["spooled_bytes"] > 0
    spooled_at = time.time()
    relay.start("store")
    relay.wait_healthy()
    receiver.wait(41, 20)
    expected = ["before", *(f"u{number}" for number in range(40))]
    assert [event["user_id"] for event in receiver.events()] == expected
    assert users_in_order(device) == expected
    wait_for(lambda: spool_files(relay) == [])
    device.send_done(device.punch("after"))
    receiver.wait(42)
    for event in relay.events(device_id=device.id)[:41]:
        assert event["received_at"] < time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(spooled_at + 1))


def test_spool_files_contain_no_secret(start: Callable[..., Relay]) -> None:
    relay = start(WEB_CONCURRENCY="1")
    device = relay.device()
    device.send_done(device.punch())
    stop_store(relay)
    device.send_done(device.punch("somebody"))
    (segment,) = spool_files(relay)
    content = segment.read_bytes()
    assert device.token.encode() not in content
    assert b"somebody" not in content
    assert segment.stat().st_mode & 0o077 == 0


def test_a_device_with_a_key_is_authenticated_while_the_store_is_away(start: Callable[..., Relay]) -> None:
    relay = start(WEB_CONCURRENCY="1")
    device = relay.device()
    device.send_done(device.punch())
    stop_store(relay)
    forged = device.punch()
    forged["RealTime"]["AuthToken"] = "0" * 32
    assert device.send(forged).status_code in (401, 503)
    assert device.send(b"nonsense").status_code == 400
    device.send_done(device.punch())


def test_every_web_process_soon_knows_devices_registered_by_another(start: Callable[..., Relay]) -> None:
    relay = start(WEB_CONCURRENCY="3")
    device, sealed, changed, removed = (
        relay.device(),
        relay.device(security_key="0123456789abcdef0123456789ABCDEF"),
        relay.device(),
        relay.device(),
    )
    relay.call("PATCH", f"/v1/devices/{changed.id}", json={"auth_token": "f" * 32}).raise_for_status()
    former, changed.token = changed.token, "f" * 32
    relay.call("DELETE", f"/v1/devices/{removed.id}").raise_for_status()
    time.sleep(3)
    stop_store(relay)
    elsewhere = {"Connection": "close"}
    for _ in range(12):  # nobody has sent anything yet; each connection goes to any process
        assert device.send(device.punch(), headers=elsewhere).status_code == 200
        assert changed.send(changed.punch(), headers=elsewhere).status_code == 200
        assert sealed.send(encrypted(sealed.punch()), headers=elsewhere).status_code == 200
        # 503 from a process that has noticed: its key may have been removed meanwhile.
        assert sealed.send(sealed.punch(), headers=elsewhere).status_code in (401, 503)
        assert removed.send(removed.punch(), headers=elsewhere).status_code == 503
    changed.token = former
    assert changed.send(changed.punch(), headers=elsewhere).status_code == 503
    relay.start("store")
    relay.wait_healthy()
    for one in (device, changed, sealed):
        wait_for(lambda one=one: len(relay.events(device_id=one.id)) == 12, 20)


def test_the_spool_of_a_killed_web_process_is_stored_by_the_next(
    start: Callable[..., Relay], receiver: Receiver
) -> None:
    relay = start()
    device = relay.device()
    relay.subscribe(receiver, device)
    for number in range(20):  # both processes know the device: each connection goes to either
        device.send(device.punch(f"before{number}"), headers={"Connection": "close"})
    stop_store(relay)
    load = Load([device], 60)
    load.finish()
    relay.kill("web")
    left = spool_files(relay)
    assert left
    relay.start("store")
    relay.start("web")
    assert all_came_once(load, receiver, "kill -9: web, with callbacks on its disk") >= 60
    wait_for(lambda: spool_files(relay) == [])


def test_an_incomplete_record_loses_nothing_before_it(
    start: Callable[..., Relay], receiver: Receiver
) -> None:
    relay = start(WEB_CONCURRENCY="1")
    device = relay.device()
    relay.subscribe(receiver, device)
    device.send_done(device.punch("before"))
    stop_store(relay)
    for number in range(5):
        device.send_done(device.punch(f"u{number}"))
    relay.kill("web")
    (segment,) = spool_files(relay)
    with segment.open("ab") as file:
        file.write(MARKER + b"half a record")
    relay.start("store")
    relay.start("web")
    receiver.wait(6, 20)
    wait_for(lambda: spool_files(relay) == [])
    assert len({event["id"] for event in receiver.events()}) == 6


def test_without_a_spool_callbacks_are_503(start: Callable[..., Relay], receiver: Receiver) -> None:
    relay = start(RELAY_SPOOL="off")
    device = relay.device()
    relay.subscribe(receiver, device)
    for _ in range(4):
        device.send_done(device.punch())
    stop_store(relay)
    answer = device.send(device.punch("u1"))
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert relay.call("GET", "/health").status_code == 503
    relay.start("store")
    relay.wait_healthy()
    wait_for(lambda: device.send(device.punch("u1")).status_code == 200)
    wait_for(lambda: "u1" in [event["user_id"] for event in receiver.events()])


READS = (
    "/v1/events",
    "/v1/events.csv",
    "/v1/attendance?date=2026-01-01",
    "/v1/attendance.csv?date=2026-01-01",
    "/v1/attendance.xlsx?date=2026-01-01",
    "/v1/attendance/2?month=2026-01",
    "/v1/attendance/2.csv?month=2026-01",
    "/v1/attendance/2.xlsx?month=2026-01",
    "/v1/employees",
    "/v1/users",
    "/v1/commands",
    "/v1/subscriptions",
    "/v1/audit",
)


def test_requests_that_read_the_store_are_503_while_it_is_away(start: Callable[..., Relay]) -> None:
    """Requests for CSV files were answered with 500, and a traceback was logged."""
    relay = start(WEB_CONCURRENCY="1")
    for path in READS:
        assert relay.call("GET", path).status_code == 200  # the web process knows the key from now on
    stop_store(relay)
    for path in READS:
        answer = relay.call("GET", path)
        assert (answer.status_code, answer.json()["status"]) == (503, 503), path
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_spool_that_cannot_be_written_is_503(start: Callable[..., Relay]) -> None:
    relay = start()
    device = relay.device()
    for _ in range(4):
        device.send_done(device.punch())
    folder = relay.folder / "data" / "spool"
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("a file where the folder should be")
    stop_store(relay)
    assert device.send(device.punch()).status_code == 503
    assert relay.call("GET", "/health").status_code == 503
    folder.unlink()
    wait_for(lambda: device.send(device.punch()).status_code == 200)


def test_a_full_disk_is_503_and_loses_nothing(start: Callable[..., Relay], receiver: Receiver) -> None:
    relay = start()
    device = relay.device()
    relay.subscribe(receiver, device)
    for _ in range(4):
        device.send_done(device.punch())
    folder = relay.folder / "data" / "spool"
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system can't be mounted here")
    try:
        stop_store(relay)
        statuses = []
        acknowledged = set()
        for number in range(400):
            document = device.punch(f"u{number}")
            status = device.send(document).status_code
            statuses.append(status)
            if status == 200:
                acknowledged.add(identity_of(device, document))
        assert set(statuses) == {200, 503}
        with suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
            (folder / FILE).unlink(missing_ok=True)  # the store's ID, which can't be written again now
            while True:
                ballast.write(bytes(4096))
        relay.start("store")
        relay.wait_healthy()
        all_came_once(acknowledged, receiver, "store unreachable and the spool's disk full")
        wait_for(lambda: spool_files(relay) == [])
        wait_for((folder / FILE).exists)
        device.send_done(device.punch())
    finally:
        relay.kill("web")
        wait_for(lambda: not subprocess.run(["umount", str(folder)], check=False).returncode)


def test_a_frozen_store_counts_as_absent(start: Callable[..., Relay], receiver: Receiver) -> None:
    relay = start(WEB_CONCURRENCY="1")
    device = relay.device()
    relay.subscribe(receiver, device)
    device.send_done(device.punch("before"))
    receiver.wait(1)
    with frozen(relay):
        began = time.monotonic()
        device.send_done(device.punch("u0"))
        assert time.monotonic() - began < 5, "the gateway doesn't wait longer"
        began = time.monotonic()
        for number in range(1, 20):
            device.send_done(device.punch(f"u{number}"))
        assert time.monotonic() - began < 5, "once it is known to be away nobody waits for it"
        time.sleep(max(0.0, began + 4.5 - time.monotonic()))  # longer than the lease lasts
    receiver.wait(21, 20)
    assert len({event["id"] for event in receiver.events()}) == 21
    assert sorted(users_in_order(device)) == sorted(["before", *(f"u{number}" for number in range(20))])
    wait_for(lambda: spool_files(relay) == [])


def test_an_unstable_store_under_load_loses_nothing(start: Callable[..., Relay], receiver: Receiver) -> None:
    relay = start()
    devices = [relay.device() for _ in range(3)]
    relay.subscribe(receiver, *devices)
    load = Load(devices, 1_500)
    for number in range(3):
        load.wait_for(200 + 400 * number)
        relay.kill("store", signal.SIGKILL if number % 2 else signal.SIGTERM)
        load.wait_for(300 + 400 * number)  # on disk meanwhile
        relay.start("store")
    load.finish()
    all_came_once(load, receiver, "store restarted", tried=3)


def test_running_deliveries_survive_a_restart_of_the_store(
    start: Callable[..., Relay], receiver: Receiver
) -> None:
    relay = start(RELAY_RETRY_SCHEDULE="1,2,2")
    device = relay.device()
    failed: set[str] = set()

    def slow(got: Received) -> tuple[int, dict[str, str], bytes]:
        time.sleep(1.0)
        name = got.headers["webhook-id"]
        if len(failed) < 3 and name not in failed:
            failed.add(name)
            return 500, {}, b""
        return 200, {}, b""

    receiver.answer = slow
    subscription = relay.subscribe(receiver, device, max_in_flight=8)
    for _ in range(20):
        device.send_done(device.punch())
    receiver.wait(8)
    stop_store(relay)
    time.sleep(5)  # longer than the lease, and than the attempts
    relay.start("store")
    wait_for(lambda: len({event["id"] for event in receiver.events()}) == 20, 20)
    wait_for(lambda: len(receiver.received) == 20 + len(failed), 15)
    time.sleep(1)
    assert len(receiver.received) == 20 + len(failed), "what succeeded meanwhile is not sent again"
    wait_for(lambda: shown(relay, subscription)["delivered"] == 20)


def test_retries_continue_soon_after_a_long_absence_of_the_store(
    start: Callable[..., Relay], receiver: Receiver
) -> None:
    relay = start(RELAY_RETRY_SCHEDULE="4,4")
    device = relay.device()
    receiver.answer = lambda _: (500 if len(receiver.received) == 1 else 200, {}, b"")
    relay.subscribe(receiver, device)
    device.send_done(device.punch())
    receiver.wait(1)
    stop_store(relay)
    time.sleep(9)
    relay.start("store")
    receiver.wait(2, 8)


def test_a_store_with_a_truncated_append_only_file_starts(
    start: Callable[..., Relay], receiver: Receiver
) -> None:
    relay = start()
    device = relay.device()
    relay.subscribe(receiver, device)
    for number in range(20):
        device.send_done(device.punch(f"u{number}"))
    receiver.wait(20)
    stop_store(relay)
    (file,) = (relay.folder / "data" / "store" / "appendonlydir").glob("*.incr.aof")
    os.truncate(file, file.stat().st_size - 11)
    relay.start("store")
    relay.wait_healthy()
    device.send_done(device.punch("after"))
    wait_for(lambda: "after" in [event["user_id"] for event in receiver.events()])
    assert users_in_order(device)[:20] == [f"u{number}" for number in range(20)]


def test_the_settings_of_a_test_relay_are_its_own(start: Callable[..., Relay]) -> None:
    relay = start()
    assert load_settings(relay.environment).data_dir == relay.folder / "data"
