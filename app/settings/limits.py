"""The settings that limit how much one stranger, device or API key can cost a web process.

The defaults are far above what an honest site needs. docs/scaling.md lists them in the section "Limits".
"""

from __future__ import annotations

from dataclasses import dataclass

from app.settings import readers as read
from app.settings.readers import Variable

MIB = 1024 * 1024

LIMIT_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "RELAY_CONNECTIONS",
        "connections",
        "1000",
        "1000",
        "Maximum number of connections to one web process. When it is reached, the oldest connection without "
        "a complete request is closed. One fifth is reserved for callbacks.",
        read.whole(10, 100_000),
    ),
    Variable(
        "RELAY_CONNECTIONS_PER_ADDRESS",
        "connections_per_address",
        "200",
        "200",
        "Maximum number of connections from one address to a web process that haven't sent a complete "
        "request. There is no limit for addresses that sent a genuine callback in the last ten minutes, or if "
        "`RELAY_TRUSTED_PROXIES` is set.",
        read.whole(1, 100_000),
    ),
    Variable(
        "RELAY_HEADER_TIMEOUT",
        "header_timeout",
        "10",
        "10",
        "Time limit for receiving a request's headers, in seconds.",
        read.seconds,
    ),
    Variable(
        "RELAY_BODY_TIMEOUT",
        "body_timeout",
        "10",
        "10",
        "Time limit for receiving a request's body, in seconds. Each 16 KiB received adds one second.",
        read.seconds,
    ),
    Variable(
        "RELAY_BODY_MEMORY",
        "body_memory",
        "64",
        "64",
        "Memory in one web process for request bodies that are not authenticated yet, in MiB. The first 32 "
        "KiB of a body don't count, so ordinary callbacks always get through. Bodies from holders of API keys may "
        "use twice as much in addition.",
        read.whole(16, 100_000),
    ),
    Variable(
        "RELAY_BODY_MEMORY_PER_ADDRESS",
        "body_memory_per_address",
        "32",
        "32",
        "How much of `RELAY_BODY_MEMORY` one address may use, in MiB. There is no limit for addresses that "
        "sent a genuine callback in the last ten minutes.",
        read.whole(16, 100_000),
    ),
    Variable(
        "RELAY_DEVICES_WITHOUT_HINT",
        "devices_without_hint",
        "5000",
        "5000",
        "Maximum number of Security Keys that are tried on an encrypted callback in an unusual format whose "
        "URL contains no device ID. With more keys than that, these devices must use the Callback URL "
        "`/callback/DEVICE_ID`.",
        read.whole(1, 1_000_000),
    ),
    Variable(
        "RELAY_STREAMS_PER_KEY",
        "streams_per_key",
        "100",
        "100",
        "Maximum number of open event streams per API key and web process, including those of console "
        "sessions.",
        read.whole(1, 100_000),
    ),
    Variable(
        "RELAY_STREAMS_PER_ADDRESS",
        "streams_per_address",
        "200",
        "200",
        "Maximum number of open event streams per address and web process.",
        read.whole(1, 100_000),
    ),
    Variable(
        "RELAY_DEVICE_EVENTS_PER_MINUTE",
        "device_events_per_minute",
        "300000",
        "300000",
        "Maximum number of events per minute that a web process accepts from one device. Above that, "
        "callbacks are answered with 429, and the gateway sends them again later.",
        read.whole(10_000, 100_000_000),
    ),
    Variable(
        "RELAY_DEVICE_MIB_PER_MINUTE",
        "device_mib_per_minute",
        "128",
        "128",
        "The same limit in MiB of callbacks per minute.",
        read.whole(16, 1_000_000),
    ),
    Variable(
        "RELAY_DEVICE_MIB_PER_DAY",
        "device_mib_per_day",
        "4096",
        "4096",
        "The same limit in MiB of callbacks per day.",
        read.whole(16, 100_000_000),
    ),
    Variable(
        "RELAY_DEVICE_USERS",
        "device_users",
        "200000",
        "200000",
        "Maximum number of users stored per device. Callbacks with further users are answered with 429, and "
        "the gateway sends them again later. Delete users or raise the limit.",
        read.whole(1, 10_000_000),
    ),
    Variable(
        "RELAY_KEY_MIB_PER_MINUTE",
        "key_mib_per_minute",
        "256",
        "256",
        "Maximum MiB of request bodies per minute that a web process accepts from one API key. Above that, "
        "requests are answered with 429.",
        read.whole(16, 1_000_000),
    ),
    Variable(
        "RELAY_KEY_MIB_PER_DAY",
        "key_mib_per_day",
        "8192",
        "8192",
        "The same limit in MiB per day.",
        read.whole(16, 100_000_000),
    ),
    Variable(
        "RELAY_MOST_DEVICES",
        "most_devices",
        "50000",
        "50000",
        "Maximum number of registered devices. Above that, registering one is answered with 409.",
        read.whole(1, 10_000_000),
    ),
    Variable(
        "RELAY_MOST_SUBSCRIPTIONS",
        "most_subscriptions",
        "50000",
        "50000",
        "Maximum number of subscriptions. Above that, creating one is answered with 409.",
        read.whole(1, 10_000_000),
    ),
    Variable(
        "RELAY_MOST_API_KEYS",
        "most_api_keys",
        "10000",
        "10000",
        "Maximum number of API keys. Above that, creating one is answered with 409.",
        read.whole(1, 10_000_000),
    ),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The values of the limits, checked. The fields are those in `LIMIT_VARIABLES`."""

    connections: int
    connections_per_address: int
    header_timeout: float  # seconds
    body_timeout: float  # seconds
    body_memory: int  # MiB
    body_memory_per_address: int  # MiB
    devices_without_hint: int
    streams_per_key: int
    streams_per_address: int
    device_events_per_minute: int
    device_mib_per_minute: int
    device_mib_per_day: int
    device_users: int
    key_mib_per_minute: int
    key_mib_per_day: int
    most_devices: int
    most_subscriptions: int
    most_api_keys: int
