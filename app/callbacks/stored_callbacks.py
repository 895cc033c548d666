"""What is logged and traced about a callback once it is stored."""

from __future__ import annotations

import logging
from datetime import datetime

from app.base import ids
from app.base.telemetry import TRACES
from app.store.devices.record import Device
from app.store.intake.ingest import Outcome

log = logging.getLogger("relay.callback")


def note_stored(device: Device, outcome: Outcome, operation: str | None, received_at: datetime) -> None:
    """Log which events a callback became, at the level `debug`, and record its spans, if traces are wanted."""
    debugging = log.isEnabledFor(logging.DEBUG)
    if not TRACES.on and not debugging:
        return
    events = [ids.event_id(device.shard.number, entry.decode()) for entry in outcome.entries]
    if TRACES.on:
        TRACES.received(device.id, events, received_at, operation or "unrecognised")
    if not debugging:
        return
    for event_id in events:
        log.debug(
            "a callback from device %s became event %s", device.id, event_id, extra={"event_id": event_id}
        )
    if outcome.duplicates:
        log.debug("a callback from device %s contained %d duplicates", device.id, outcome.duplicates)
