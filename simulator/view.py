"""A device as the control API shows it, without its secrets."""

from simulator.callbacks import log_row
from simulator.clock import to_wire
from simulator.desk import Desk
from simulator.device import Device
from simulator.records import User

_LOGS_SHOWN = 50


def show_device(device: Device, desk: Desk) -> dict[str, object]:
    """A device's settings and state. `queue_length` counts the callback that is being tried too."""
    spec, outbox = device.spec, device.outbox
    with device.lock:
        return {
            "stgid": spec.stgid,
            "serial": spec.serial,
            "label": spec.label,
            "model": spec.model,
            "mode": spec.mode,
            "timezone": spec.timezone,
            "api_version": spec.api_version,
            "callbacks": list(spec.callbacks),
            "lenient": spec.lenient,
            "callback_url": spec.callback_url,
            "callback_url_in_use": outbox.url,
            "auth_token_hint": spec.auth_token[-4:],
            "has_security_key": bool(spec.security_key),
            "online": device.online,
            "timeout": device.timeout,
            "clock": to_wire(device.clock.now()),
            "clock_skew_seconds": round(device.clock.skew.total_seconds(), 3),
            "delay_seconds": spec.delay_seconds,
            "max_users": spec.max_users,
            "max_templates": spec.max_templates,
            "max_logs": spec.max_logs,
            "users": [show_user(user) for user in device.users.values()],
            "template_count": device.template_count(),
            "log_count": len(device.logs),
            "logs": [log_row(row) for row in list(device.logs)[-_LOGS_SHOWN:]],
            "photo_count": len(device.photos),
            "queue_length": len(outbox),
            "kept_on_device": device.kept_on_device,
            "held_commands": desk.held_count,
            "pushed": outbox.attempts,
            "acknowledged": outbox.acknowledged,
            "refused": outbox.refused,
            "last_refusal": outbox.last_refusal,
            "commands_received": desk.received_count,
            "faults_left": desk.fault_count,
        }


def show_user(user: User) -> dict[str, object]:
    """A user with the types and indexes of their templates, not the data."""
    return {
        "user_id": user.user_id,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "user_type": user.user_type,
        "enabled": user.enabled,
        "access_start": user.access_start and to_wire(user.access_start),
        "access_end": user.access_end and to_wire(user.access_end),
        "templates": [{"type": kind, "index": index} for kind, index in user.templates],
    }
