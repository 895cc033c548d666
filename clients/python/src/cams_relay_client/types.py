# ruff: noqa: E501
"""Types of events and resources.

Made by scripts/client-types from the relay's OpenAPI description; a test compares it. A newer relay can send more
fields, values and event types. At run time, all of these are ordinary dicts, and nothing is rejected.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class EventTypeDetails(TypedDict):
    type: str
    """The event type."""
    summary: str
    """What it tells."""
    schema_version: int
    """Version of the schema. Added fields don't change it."""
    deprecated: bool
    """Whether a later version will stop publishing it."""
    schema: dict[str, Any]
    """Its JSON Schema."""
    sample: dict[str, Any]
    """A made-up event."""


class Command(TypedDict):
    """A command, without its data."""

    id: str
    """The command's ID."""
    command_id: str
    """The command's ID."""
    action: str
    """The action."""
    device_id: str
    """The device's Service Tag ID (stgid)."""
    user_id: str | None
    """The user concerned, or null."""
    operation_id: str
    """The OperationID sent to the gateway."""
    status: str
    """Status of the command."""
    status_code: int | None
    """The gateway's StatusCode; null until it has responded."""
    status_name: str | None
    """Meaning of the code."""
    message: str | None
    """One sentence that explains the result."""
    gateway_status: str | None
    """The gateway's own message."""
    code: str | None
    """If the command failed, was cancelled or has an unknown outcome: the code of the action's error."""
    requested_by: str
    """Name of the API key that sent the command."""
    created_at: str
    """When the command was created."""
    sent_at: str | None
    """When the command was last sent to the gateway."""
    ended_at: str | None
    """When the command ended."""
    expires_at: str
    """When the relay gives up on the command."""
    next_poll_at: str | None
    """When the relay polls the gateway again."""


class CommandWithResult(TypedDict):
    """A command. Once it is completed, it includes the result of its action."""

    id: str
    """The command's ID."""
    command_id: str
    """The command's ID."""
    action: str
    """The action."""
    device_id: str
    """The device's Service Tag ID (stgid)."""
    user_id: str | None
    """The user concerned, or null."""
    operation_id: str
    """The OperationID sent to the gateway."""
    status: str
    """Status of the command."""
    status_code: int | None
    """The gateway's StatusCode; null until it has responded."""
    status_name: str | None
    """Meaning of the code."""
    message: str | None
    """One sentence that explains the result."""
    gateway_status: str | None
    """The gateway's own message."""
    code: str | None
    """If the command failed, was cancelled or has an unknown outcome: the code of the action's error."""
    requested_by: str
    """Name of the API key that sent the command."""
    created_at: str
    """When the command was created."""
    sent_at: str | None
    """When the command was last sent to the gateway."""
    ended_at: str | None
    """When the command ended."""
    expires_at: str
    """When the relay gives up on the command."""
    next_poll_at: str | None
    """When the relay polls the gateway again."""
    row_count: NotRequired[int]
    """Number of punches."""
    reported_row_count: NotRequired[int | None]
    """Number of rows reported by the gateway."""
    published_count: NotRequired[int | None]
    """Number of new punches that were published as events."""
    logs: NotRequired[list[PunchRow]]
    """The punches."""
    device_model: NotRequired[str]
    """The model."""
    manufacturer: NotRequired[str]
    """Manufacturer."""
    mac_address: NotRequired[str]
    """The MAC address of the device."""
    start_date: NotRequired[str]
    """Start of the licence, in ISO 8601 if day and month are unambiguous."""
    end_date: NotRequired[str]
    """End of the licence, in ISO 8601 if day and month are unambiguous."""
    last_connected_time: NotRequired[str]
    """Time of the last connection."""
    registered_users: NotRequired[int]
    """Number of users on the device."""
    registered_faces: NotRequired[int]
    """Number of faces on the device."""
    registered_fingerprints: NotRequired[int]
    """Number of fingerprints on the device."""
    maximum_faces_supported: NotRequired[int]
    """Maximum number of faces."""
    maximum_fingerprints_supported: NotRequired[int]
    """Maximum number of fingerprints."""
    maximum_attendance_logs_supported: NotRequired[int]
    """Maximum number of punches."""


class Device(TypedDict):
    """A registered device. Its secrets are never shown."""

    id: str
    """The device's Service Tag ID (stgid)."""
    device_id: str
    """The device's Service Tag ID (stgid)."""
    gateway_url: str | None
    """URL that the device's commands are sent to."""
    label: str | None
    """Its name."""
    serial_number: str | None
    """The device's serial number."""
    mode: str
    """How the device is connected to the gateway."""
    timezone: str
    """Time zone for times without an offset."""
    direction: str
    """Direction of the device's punches: `by_type` follows the type of each punch; `in` or `out` applies to all of them."""
    same_visit_seconds: int | None
    """Seconds within which a person's punches count as one in the attendance view. null uses RELAY_SAME_VISIT_SECONDS."""
    silent_after_minutes: int | None
    """Minutes without contact during working hours after which the device counts as silent. 0 turns this off. null uses RELAY_SILENT_AFTER_MINUTES."""
    working_hours: str | None
    """Hours during which contact is expected. null uses RELAY_WORKING_HOURS."""
    created_at: str
    """When the device was registered."""
    simulated: bool
    """Whether the device is simulated."""
    has_security_key: bool
    """Whether callbacks and commands are encrypted."""
    security_key_old_until: str | None
    """When the previous Security Key stops being accepted; null if there is none."""
    require_callback_secret: bool
    """Whether the Callback URL must contain the device's secret, ?k=…."""
    legacy_callbacks: str
    """Older version of the Web API whose callbacks are also accepted."""
    auth_token_hint: str
    """Last four characters of the device's AuthToken."""
    callback_url: str
    """Set this as the Callback URL in the API Monitor. It contains the callback secret only in the response that created the secret."""
    last_seen_at: NotRequired[str | None]
    """When the device last sent a callback."""
    silent_since: NotRequired[str | None]
    """When the device was last in contact, if device.silent was published; otherwise null."""
    callbacks: NotRequired[int]
    """Callbacks accepted."""
    events: NotRequired[int]
    """Events created from callbacks."""
    duplicates: NotRequired[int]
    """Duplicate callbacks and punches."""
    unrecognised: NotRequired[int]
    """Callbacks that could not be read completely."""
    clock_suspect: NotRequired[int]
    """Punches whose time is far in the future or very old."""
    stale: NotRequired[int]
    """User changes ignored because a newer one had already arrived."""
    refused_callbacks: int
    """Callbacks refused in the last seven days that contained the device's AuthToken or were sent to its Callback URL, including those from before it was registered."""
    refused_since: str | None
    """When the first of these callbacks was refused."""
    refused_note: str | None
    """A sentence that explains these refusals; null once a callback from the device has been accepted again."""


class User(TypedDict):
    """A user on one device."""

    id: str
    """The user's ID on the device."""
    user_id: str
    """The user's ID on the device."""
    device_id: str
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    simulated: bool
    """Whether the device, and so the user, is simulated."""
    first_name: str | None
    """First name."""
    last_name: str | None
    """Last name."""
    user_type: str | None
    """user or admin."""
    full_name: str | None
    """Both names."""
    updated_at: str | None
    """When the profile was last changed."""
    source: str
    """Where the profile comes from: the device itself or, until it reports the user, a command that it carried out."""
    credentials: list[UserCredential]
    """Credentials by type and index, without their data."""


class UserEverywhere(TypedDict):
    id: str
    """The user's ID."""
    user_id: str
    """The user's ID."""
    full_name: str | None
    """Both names."""
    devices: list[User]
    """The user's data on each device that reported it."""


class Subscription(TypedDict):
    """A subscription and the state of its deliveries."""

    id: str
    """The subscription's ID."""
    target_url: str
    """URL that events are sent to. Without the scope subscriptions:write, only its scheme, host and port."""
    event_types: list[str]
    """Event types, families such as user.*, or * for all."""
    filters: SubscriptionFilters
    unknown_device_ids: list[str]
    """Device IDs in filters that are not registered. Nothing is sent for them until they are. Check their spelling."""
    warnings: list[Warning]
    """Values in filters that match nothing now."""
    format: str
    """Format of the delivery's body."""
    field_mapping: dict[str, Any] | None
    """The event field or constant for each name in the body; null if the event's own fields are sent."""
    template: str | None
    """The text of a message, with fields in double braces; null if sentences are sent."""
    description: str | None
    """A description of its purpose."""
    headers: dict[str, Any]
    """Headers sent with each delivery. Their values are not shown."""
    max_in_flight: int
    """Maximum number of deliveries in progress at once."""
    batch_max: int
    """Maximum number of events per delivery."""
    batch_wait_ms: int
    """How long a batch waits for more events, in milliseconds."""
    signatures: list[str]
    """How deliveries are signed: hmac (v1, with the secret) or ed25519 (v1a, with the relay's key pair)."""
    include_card_numbers: bool
    """Whether card numbers are sent."""
    status: str
    """Whether the subscription receives events. `parked` means that deliveries are waiting because its stored data is damaged."""
    parked_reason: str | None
    """The damaged data in the store."""
    disabled_reason: str | None
    """Why the subscription was disabled."""
    created_at: str
    """When it was created."""
    created_by: str | None
    """ID of the API key that created it; null if that isn't known."""
    orphan_reason: str | None
    """Why it may no longer be needed: the API key that created it was deleted (`api_key_deleted`), or its target answers 404 (`target_not_found`), as webhooks of deleted or inactive workflows do. Otherwise null."""
    expires_at: str | None
    """When it is deleted automatically; null if it doesn't expire."""
    pending: int
    """Deliveries waiting for their first attempt."""
    retrying: int
    """Deliveries waiting for a retry."""
    dead: int
    """Dead letters. They are not retried, but can be replayed."""
    delivered: int
    """Successful deliveries."""
    failing_since: str | None
    """When the target started failing; null if it is working."""


class SubscriptionWithSecret(TypedDict):
    id: str
    """The subscription's ID."""
    target_url: str
    """URL that events are sent to. Without the scope subscriptions:write, only its scheme, host and port."""
    event_types: list[str]
    """Event types, families such as user.*, or * for all."""
    filters: SubscriptionFilters
    unknown_device_ids: list[str]
    """Device IDs in filters that are not registered. Nothing is sent for them until they are. Check their spelling."""
    warnings: list[Warning]
    """Values in filters that match nothing now."""
    format: str
    """Format of the delivery's body."""
    field_mapping: dict[str, Any] | None
    """The event field or constant for each name in the body; null if the event's own fields are sent."""
    template: str | None
    """The text of a message, with fields in double braces; null if sentences are sent."""
    description: str | None
    """A description of its purpose."""
    headers: dict[str, Any]
    """Headers sent with each delivery. Their values are not shown."""
    max_in_flight: int
    """Maximum number of deliveries in progress at once."""
    batch_max: int
    """Maximum number of events per delivery."""
    batch_wait_ms: int
    """How long a batch waits for more events, in milliseconds."""
    signatures: list[str]
    """How deliveries are signed: hmac (v1, with the secret) or ed25519 (v1a, with the relay's key pair)."""
    include_card_numbers: bool
    """Whether card numbers are sent."""
    status: str
    """Whether the subscription receives events. `parked` means that deliveries are waiting because its stored data is damaged."""
    parked_reason: str | None
    """The damaged data in the store."""
    disabled_reason: str | None
    """Why the subscription was disabled."""
    created_at: str
    """When it was created."""
    created_by: str | None
    """ID of the API key that created it; null if that isn't known."""
    orphan_reason: str | None
    """Why it may no longer be needed: the API key that created it was deleted (`api_key_deleted`), or its target answers 404 (`target_not_found`), as webhooks of deleted or inactive workflows do. Otherwise null."""
    expires_at: str | None
    """When it is deleted automatically; null if it doesn't expire."""
    pending: int
    """Deliveries waiting for their first attempt."""
    retrying: int
    """Deliveries waiting for a retry."""
    dead: int
    """Dead letters. They are not retried, but can be replayed."""
    delivered: int
    """Successful deliveries."""
    failing_since: str | None
    """When the target started failing; null if it is working."""
    secret: str
    """Secret for verifying webhook-signature (Standard Webhooks). It is not shown again."""


class NewSubscription(TypedDict):
    id: str
    """The subscription's ID."""
    target_url: str
    """URL that events are sent to. Without the scope subscriptions:write, only its scheme, host and port."""
    event_types: list[str]
    """Event types, families such as user.*, or * for all."""
    filters: SubscriptionFilters
    unknown_device_ids: list[str]
    """Device IDs in filters that are not registered. Nothing is sent for them until they are. Check their spelling."""
    warnings: list[Warning]
    """Values in filters that match nothing now."""
    format: str
    """Format of the delivery's body."""
    field_mapping: dict[str, Any] | None
    """The event field or constant for each name in the body; null if the event's own fields are sent."""
    template: str | None
    """The text of a message, with fields in double braces; null if sentences are sent."""
    description: str | None
    """A description of its purpose."""
    headers: dict[str, Any]
    """Headers sent with each delivery. Their values are not shown."""
    max_in_flight: int
    """Maximum number of deliveries in progress at once."""
    batch_max: int
    """Maximum number of events per delivery."""
    batch_wait_ms: int
    """How long a batch waits for more events, in milliseconds."""
    signatures: list[str]
    """How deliveries are signed: hmac (v1, with the secret) or ed25519 (v1a, with the relay's key pair)."""
    include_card_numbers: bool
    """Whether card numbers are sent."""
    status: str
    """Whether the subscription receives events. `parked` means that deliveries are waiting because its stored data is damaged."""
    parked_reason: str | None
    """The damaged data in the store."""
    disabled_reason: str | None
    """Why the subscription was disabled."""
    created_at: str
    """When it was created."""
    created_by: str | None
    """ID of the API key that created it; null if that isn't known."""
    orphan_reason: str | None
    """Why it may no longer be needed: the API key that created it was deleted (`api_key_deleted`), or its target answers 404 (`target_not_found`), as webhooks of deleted or inactive workflows do. Otherwise null."""
    expires_at: str | None
    """When it is deleted automatically; null if it doesn't expire."""
    pending: int
    """Deliveries waiting for their first attempt."""
    retrying: int
    """Deliveries waiting for a retry."""
    dead: int
    """Dead letters. They are not retried, but can be replayed."""
    delivered: int
    """Successful deliveries."""
    failing_since: str | None
    """When the target started failing; null if it is working."""
    secret: str | None
    """Secret for verifying webhook-signature (Standard Webhooks). It is not shown again, and is null if the subscription already existed."""
    token: str | None
    """Value of the header that token_header names; null without token_header. It is not shown again."""


class Delivery(TypedDict):
    id: str
    """The delivery's ID."""
    subscription_id: str
    """The subscription."""
    event_id: str | None
    """The event, which is also the webhook-id; null for a batch."""
    batch_id: str | None
    """The batch (bat_…), which is also the webhook-id."""
    event_ids: list[str]
    """The events; empty for a batch that ended."""
    event_count: int
    """Number of events in the delivery."""
    event_type: str | None
    """The event's type; null for a batch, or if the event has been removed."""
    trigger: str
    """Why the latest attempt was made, or why a pending delivery will be attempted."""
    status: str
    """Status of the delivery."""
    created_at: str
    """When the event was received or, for a test event that is sent later, when it will be sent."""
    attempt_count: int
    """Number of attempts."""
    response_status: int | None
    """HTTP status of the latest attempt."""
    duration_ms: int | None
    """Duration of the latest attempt, in milliseconds."""
    error: str | None
    """Error of the latest attempt."""
    last_attempt_at: str | None
    """When the latest attempt was made."""
    next_attempt_at: str | None
    """When the next attempt will be made."""
    attempts: list[DeliveryAttempt]
    """The attempts, oldest first."""


class Problem(TypedDict):
    """An error (RFC 9457)."""

    type: str
    """URL of the page that explains the code."""
    code: str
    """The kind of error, for programs. It doesn't change."""
    title: str
    """The HTTP status in words."""
    status: int
    """The HTTP status."""
    detail: str
    """What is wrong and what to do about it."""
    request_id: NotRequired[str]
    """The request's ID, which is also in the relay's log."""
    errors: NotRequired[list[FieldError]]
    """One entry for each invalid field, parameter or header. Omitted if there are none."""


class ActionProblem(TypedDict):
    """An error (RFC 9457), with the gateway's response if there was one."""

    type: str
    """URL of the page that explains the code."""
    code: str
    """The kind of error, for programs: the name of the gateway's StatusCode if it has one."""
    title: str
    """The HTTP status in words."""
    status: int
    """The HTTP status."""
    detail: str
    """What went wrong and what to do about it."""
    request_id: NotRequired[str]
    """The request's ID, which is also in the relay's log."""
    errors: NotRequired[list[FieldError]]
    """One entry for each invalid field, parameter or header. Omitted if there are none."""
    command_id: NotRequired[str | None]
    """The command's ID; null if no command was created."""
    action: NotRequired[str]
    """The action."""
    device_id: NotRequired[str]
    """The device's Service Tag ID."""
    user_id: NotRequired[str | None]
    """The user concerned."""
    operation_id: NotRequired[str | None]
    """The OperationID sent to the gateway."""
    command_status: NotRequired[str]
    """Final status of the command: failed, unknown or cancelled."""
    status_code: NotRequired[int | None]
    """The gateway's StatusCode."""
    status_name: NotRequired[str | None]
    """Meaning of the code."""
    gateway_status: NotRequired[str | None]
    """The gateway's own message."""


class AttendancePunchEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["attendance.punch"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    punch_id: str
    """The punch's ID, the same for the same device, user and time."""
    revision: int
    """The punch's version: 1, and 2, 3… each time the punch is sent again with different values."""
    user_id: str
    """The user's ID on the device."""
    user_name: str | None
    """The user's name, if known."""
    employee_id: str | None
    """The employee ID, if the user is in the list of employees."""
    punch_type: str | None
    """check_in, check_out, break_out, break_in, overtime_in, overtime_out, meal_in or meal_out."""
    direction: str | None
    """in or out."""
    input_type: str | None
    """fingerprint, face, palm, card, password and others."""
    temperature_celsius: float | None
    """Body temperature, if measured."""
    face_mask: bool | None
    """Whether a face mask was worn."""
    local_date: str
    """The date of the event, by the device's clock."""
    local_time: str
    """The time of day of the event, by the device's clock."""
    delay_seconds: int
    """Seconds between the punch and its receipt."""
    is_late_arrival: bool
    """True if the relay received the punch more than 300 s after it was made. It doesn't say whether the person was late."""
    clock_suspect: bool
    """True if the time of the punch is more than 2 h in the future or older than the retention period."""


class AttendancePhotoEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["attendance.photo"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    user_id: str | None
    """The user's ID on the device."""
    employee_id: str | None
    """The employee ID, if the user is in the list of employees."""
    photo_url: str
    """Link to the photo. It is valid for seven days and requires no API key."""
    photo_mime: str
    """The photo's media type."""
    photo_size_bytes: int
    """Size of the photo in bytes."""


class AttendanceDayChangedEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["attendance.day_changed"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    date: str
    """The day, in the site's time zone and according to RELAY_DAY_STARTS."""
    user_id: str
    """The person's user ID on the devices."""
    user_name: str | None
    """The person's name, if known."""
    employee_id: str | None
    """The employee ID, if the person is in the list of employees."""
    timezone: str
    """The site's time zone, or its UTC offset if the device has no time zone set."""
    first_in: str | None
    """The first punch of the day (ISO 8601)."""
    first_in_device_id: str | None
    """The device of that punch."""
    last_out: str | None
    """The last punch of the day (ISO 8601)."""
    last_out_device_id: str | None
    """The device of that punch."""
    worked_seconds: int | None
    """Seconds from first in to last out; null if either is missing."""
    worked_hours: float | None
    """The same duration in hours."""
    present_seconds: int | None
    """Seconds from each in to the next out, added up; null if ins and outs don't alternate."""
    present_hours: float | None
    """The same duration in hours."""
    punch_count: int
    """Number of punches on the day."""
    missing_punch: bool
    """True if the day is over and the first in or last out is missing, or a shift is longer than RELAY_LONGEST_SHIFT_HOURS."""
    is_late: bool | None
    """Whether the person was late: the first in is after RELAY_LATE_AFTER. It is null if that is not set."""
    late_seconds: int | None
    """How late the person was, in seconds; 0 if on time."""
    day_over: bool
    """Whether the day is over in the site's time zone."""
    correction_count: int
    """Number of punches of the day that were added, changed or excluded by corrections."""
    revision: int
    """The version of this day: 1, and 2, 3… each time it is published again."""


class UserUpdatedEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["user.updated"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    user_id: str
    """The user's ID on the device."""
    first_name: str | None
    """First name."""
    last_name: str | None
    """Last name."""
    full_name: str | None
    """Both names."""
    user_type: str | None
    """user or admin."""
    credentials_changed: str
    """Types of the credentials sent with the change, comma-separated."""


class CredentialUpdatedEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["credential.updated"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    user_id: str
    """The user's ID on the device."""
    credential_type: str
    """card, password, fingerprint, face, palm or user_photo."""
    credential_index: int
    """The credential's index. For a fingerprint, it is the finger's number, from 0 to 9."""
    credential_size_bytes: int | None
    """Size of the data in bytes."""
    credential_digest: str
    """Keyed digest of the data. If the digest has changed, the data has changed."""
    card_last4: str | None
    """The last four characters of the card number."""
    card_number: str | None
    """The card number; null unless the subscription was created with include_card_numbers."""
    is_new: bool
    """True if the relay had no credential with this type and index."""


class UserDeletedEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["user.deleted"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    user_id: str
    """The user's ID on the device."""


class UserUnknownEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["user.unknown"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    user_id: str
    """The user ID of the punch."""
    punch_event_id: str
    """The ID of the punch event."""


class DeviceTimeChangedEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["device.time_changed"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    changed_to: str
    """The new time."""
    changed_to_utc: str
    """The same time in UTC."""
    shift_seconds: int | None
    """How far the clock was moved forward, in seconds. Negative if it was moved back."""


class DeviceSilentEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["device.silent"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    last_seen_at: str
    """When the device was last in contact (UTC)."""
    silent_after_minutes: int
    """Number of minutes after which the device counts as silent."""
    working_hours: str
    """Hours during which contact is expected."""


class DeviceBackEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["device.back"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    last_seen_at: str
    """When the device was in contact again (UTC)."""
    silent_since: str
    """When the device was last in contact before its silence (UTC)."""
    silent_seconds: int
    """Seconds without contact."""


class CommandEndedEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["command.completed", "command.failed", "command.unknown", "command.cancelled"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    command_id: str
    """The command's ID."""
    action: str
    """The action."""
    user_id: str | None
    """The user concerned."""
    status: str
    """How it ended: completed, failed, unknown or cancelled."""
    status_code: int | None
    """The gateway's StatusCode."""
    status_name: str | None
    """Meaning of the code."""
    message: str | None
    """What happened, and what to do about it."""


class CallbackUnrecognisedEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["callback.unrecognised"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    body_url: str
    """Link to the body, valid for seven days. Secrets are removed, unless you send a key that has templates:read."""
    reason: str
    """The part of the body that was not understood."""


class SubscriptionDisabledEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["subscription.disabled"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    subscription_id: str
    """The subscription's ID."""
    target_url: str
    """Scheme, host and port of the target. The rest of a webhook's URL may be a secret."""
    reason: str
    """Why the subscription was disabled or removed."""


class CallbackRefusedEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["callback.refused"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    address: str
    """The IP address that sent the callbacks."""
    claimed_device_id: str | None
    """The device ID in the Callback URL. It has not been verified."""
    auth_token_hint: str | None
    """Last four characters of the AuthToken, if there is one."""
    http_status: int
    """The HTTP status that the gateway received."""
    reason: str
    """unauthorised, malformed, undecryptable, too_large, over_quota or unavailable."""
    message: str
    """What is wrong."""
    count: int
    """Number of refused callbacks from this source."""
    size_bytes: int
    """Size of the latest refused callback, in bytes."""
    first_refused_at: str
    """When the first callback was refused (UTC)."""
    last_refused_at: str
    """When the latest callback was refused (UTC)."""


class AttendanceCorrectedEvent(TypedDict):
    id: str
    """The event's ID, the same on every delivery. IDs sort by time of receipt."""
    type: Literal["attendance.corrected"]
    """What happened."""
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    received_at: str
    """When the relay received the event (UTC)."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    operation: str | None
    """The gateway's name for the operation."""
    operation_id: str | None
    """The gateway's ID for this operation."""
    test: bool
    """True for samples and test events."""
    correction_id: str
    """The correction's ID."""
    kind: str
    """added, changed, excluded or restored."""
    user_id: str
    """The person's user ID on the devices."""
    user_name: str | None
    """The person's name, if known."""
    employee_id: str | None
    """The employee ID, if the person is in the list of employees."""
    punch_id: str
    """The punch, as in attendance.punch. An added punch has its own ID."""
    punched_at: str | None
    """When the punch counts from now on (ISO 8601); null if it doesn't count."""
    direction: str | None
    """in, out or null, as it counts from now on."""
    reported_at: str | None
    """When the punch was made according to its device; null for an added punch."""
    reported_direction: str | None
    """The direction according to the device."""
    reason: str
    """Why it was corrected."""
    author: str
    """Who corrected it."""


class PunchRow(TypedDict):
    occurred_at: str | None
    """When the event happened, with the device's own offset (ISO 8601)."""
    occurred_at_utc: str | None
    """The same instant in UTC."""
    device_id: str | None
    """The device's Service Tag ID (stgid)."""
    device_label: str | None
    """The device's name."""
    device_serial: str | None
    """The device's serial number."""
    punch_id: str
    """The punch's ID, the same for the same device, user and time."""
    user_id: str
    """The user's ID on the device."""
    user_name: str | None
    """The user's name, if known."""
    employee_id: str | None
    """The employee ID, if the user is in the list of employees."""
    punch_type: str | None
    """check_in, check_out, break_out, break_in, overtime_in, overtime_out, meal_in or meal_out."""
    direction: str | None
    """in or out."""
    input_type: str | None
    """fingerprint, face, palm, card, password and others."""
    temperature_celsius: float | None
    """Body temperature, if measured."""
    face_mask: bool | None
    """Whether a face mask was worn."""
    local_date: str
    """The date of the event, by the device's clock."""
    local_time: str
    """The time of day of the event, by the device's clock."""
    delay_seconds: int
    """Seconds between the punch and its receipt."""
    is_late_arrival: bool
    """True if the relay received the punch more than 300 s after it was made. It doesn't say whether the person was late."""
    clock_suspect: bool
    """True if the time of the punch is more than 2 h in the future or older than the retention period."""


class UserCredential(TypedDict):
    credential_type: str
    """card, password, fingerprint, face, palm or user_photo."""
    credential_index: int
    """The credential's index, for example the finger. It is 0 if the type has no index."""
    credential_size_bytes: int | None
    """Size of the data in bytes."""
    credential_digest: str
    """Keyed digest of the data. If the digest has changed, the data has changed."""
    updated_at: str | None
    """When the credential was last changed."""


class SubscriptionFilters(TypedDict):
    device_ids: list[str]
    """Only these devices, or all devices if the list is empty."""
    user_ids: list[str]
    """Only these users, or all users if the list is empty."""
    punch_types: list[str]
    """Only these punch types, or all types if the list is empty."""
    command_ids: list[str]
    """Only the results of these commands, or of all commands if the list is empty."""


class Warning(TypedDict):
    """A value that is accepted, but matches nothing now."""

    code: str
    """The kind of warning, for programs."""
    pointer: NotRequired[str]
    """JSON Pointer to a field of the resource."""
    parameter: NotRequired[str]
    """Name of a query parameter."""
    message: str
    """What the value is, and what to do about it."""


class DeliveryAttempt(TypedDict):
    at: str
    """When the attempt was made."""
    response_status: int | None
    """The target's HTTP status; null if there was no response."""
    duration_ms: int | None
    """Duration in milliseconds."""
    error: str | None
    """What went wrong."""
    response_body: str | None
    """The first 2 KiB of the response to the latest failed attempt. Null if there was no body, if it is no longer stored, or if your key may not read it."""


class FieldError(TypedDict):
    pointer: NotRequired[str]
    """JSON Pointer to a field in the body."""
    parameter: NotRequired[str]
    """Name of a query parameter."""
    header: NotRequired[str]
    """Name of a header."""
    message: str
    """What is wrong with the value."""


Event = (
    AttendancePunchEvent
    | AttendancePhotoEvent
    | AttendanceDayChangedEvent
    | UserUpdatedEvent
    | CredentialUpdatedEvent
    | UserDeletedEvent
    | UserUnknownEvent
    | DeviceTimeChangedEvent
    | DeviceSilentEvent
    | DeviceBackEvent
    | CommandEndedEvent
    | CallbackUnrecognisedEvent
    | SubscriptionDisabledEvent
    | CallbackRefusedEvent
    | AttendanceCorrectedEvent
)
