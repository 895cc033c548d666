"""The main function in one test: a subscriber gets a punch, flat and signed."""

from __future__ import annotations

from tests.harness import Device, Receiver, Relay, verify


def test_a_punch_reaches_a_subscriber_flat_and_signed(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    subscription = relay.subscribe(receiver, device)
    device.send_done(device.sample(11))
    (got,) = receiver.wait(1)
    event = verify(subscription["secret"], got)
    assert event["type"] == "attendance.punch"
    assert event["user_id"] == "2"
    assert event["punch_type"] == "check_out"
    assert got.headers["webhook-id"] == event["id"]
