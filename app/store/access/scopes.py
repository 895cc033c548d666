"""The scopes that an API key can have, and which of them allow reading the same data."""

from __future__ import annotations

SCOPES = (
    "events:read",
    "people:read",
    "subscriptions:read",
    "subscriptions:write",
    "devices:read",
    "devices:write",
    "actions:read",
    "actions:write",
    "actions:destructive",
    "templates:read",
    "metrics:read",
    "admin",
)

# Keys with these scopes can't be limited to devices.
FOR_ALL_DEVICES = ("admin", "metrics:read")

# One of these is needed to read users, employees and attendance, …
PEOPLE_READERS = ("people:read", "events:read")
# … subscriptions and their deliveries, …
SUBSCRIPTION_READERS = ("subscriptions:read", "subscriptions:write")
# … refused callbacks, …
REFUSED_READERS = ("devices:read", "devices:write", "events:read")
# … and devices.
DEVICE_READERS = (*REFUSED_READERS, "actions:read")
