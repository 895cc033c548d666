"""The result of LoadLog: its rows as flat punches and, with `publish`, as events. Contract §6."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from app.events import flatten
from app.gateway.callbacks import Callback
from app.store import Store
from app.store.devices.registry import Device
from app.store.intake.ingest import DeviceChanged
from workers.commands.gateway_client import Exchange

_LEFT_OUT = frozenset({"type", "received_at", "test", "revision", "operation", "operation_id"})


def load_log_result(
    store: Store, device: Device, operation_id: str, exchange: Exchange, *, publish: bool
) -> dict[str, Any]:
    """Return the flat result. Blocks. After a redis error, it may be called again: nothing is published twice."""
    received_at = datetime.now(UTC)
    receipt = flatten.Receipt(
        device_id=device.id,
        device_label=device.record["label"],
        device_serial=device.record["serial_number"],
        received_at=received_at,
        retention=timedelta(days=store.settings.retention_days),
        base_url=store.settings.public_url or "",
    )
    callback = Callback("LoadLog", operation_id, None, None, None, None, list(exchange.logs), [])
    published = _publish(store, device, callback, receipt) if publish else None
    people = store.people.on_device(device, {punch.user_id for punch in exchange.logs})
    received = flatten.received_iso(received_at)
    events = (
        flatten.punch_event(punch, receipt, callback, received, people[punch.user_id], 1)
        for punch in exchange.logs
    )
    rows = [{name: value for name, value in event.items() if name not in _LEFT_OUT} for event in events]
    return {
        "row_count": len(rows),
        "reported_row_count": exchange.reported,
        "published_count": published,
        "logs": rows,
    }


def _publish(store: Store, device: Device, callback: Callback, receipt: flatten.Receipt) -> int:
    """Publish rows; return how many were new. The device may have changed since it was read."""
    present: Device | None = device
    while present is not None and callback.facts:
        try:
            return len(store.ingest.store(present, callback, {}, b"", receipt).entries)
        except DeviceChanged:
            present = store.devices.refresh(device.id)
    return 0
