"""The endpoints of devices and subscriptions."""

from __future__ import annotations

from functools import partial

from app.openapi.bodies import DEVICE, SUBSCRIPTION
from app.openapi.vocabulary import (
    CURSOR,
    LIMIT,
    PUBLIC,
    Endpoint,
    Json,
    accepted,
    created,
    existed,
    flag,
    in_path,
    no_content,
    ok,
    page_of,
    parameter,
    ref,
    text,
)
from app.store.access.scopes import DEVICE_READERS, REFUSED_READERS, SUBSCRIPTION_READERS
from app.store.deliveries.lists import STATUSES

_DEVICE_ID = in_path("device_id", "The device's Service Tag ID (stgid).", "ZHM1100001")
_SUBSCRIPTION_ID = in_path("subscription_id", "The subscription's ID.", "sub_4h3gw8x2m1k6p9r5t7v3y2b1")
_DELIVERY_ID = in_path("delivery_id", "The delivery's ID.", "dlv_4h3gw8x2m1k6p9r5t7v3y2b101kay8ds0r000000")
_REPLAY_ID = in_path("replay_id", "The replay's ID.", "rpl_4h3gw8x2m1k6p9r5t7v3y2b14h3gw8x2m1k6p9r5")
_SINCE = parameter(
    "since",
    "Only deliveries whose latest attempt was made at this time or later. For pending deliveries, this is the time of "
    "creation.",
    text("", "2026-11-24T00:00:00Z"),
)
_UNTIL = parameter(
    "until",
    "Only deliveries whose latest attempt was made at this time or earlier.",
    text("", "2036-11-25T00:00:00Z"),
)


def _examples(body: Json, *names: str) -> Json:
    return {name: body["properties"][name]["examples"][0] for name in names}


_DEVICE_EXAMPLE = _examples(DEVICE, "device_id", "auth_token", "gateway_url", "label", "mode", "timezone")
_HOOK_EXAMPLE = _examples(SUBSCRIPTION, "target_url", "event_types")

_device = partial(Endpoint, tag="devices", scopes=("devices:write",))
_subscription = partial(Endpoint, tag="subscriptions", scopes=("subscriptions:write",))
_read_subscription = partial(_subscription, method="get", scopes=SUBSCRIPTION_READERS)

DEVICES: tuple[Endpoint, ...] = (
    _device(
        method="get",
        path="/v1/devices",
        operation_id="listDevices",
        also_in="actions",
        summary="List devices",
        description="Returns the registered devices, sorted by ID, with label, mode and when each was last "
        "seen. Use it to find the device_id for an action.",
        answers=ok("A page of devices.", page_of("Device")),
        scopes=DEVICE_READERS,
        parameters=(LIMIT, CURSOR),
    ),
    _device(
        method="post",
        path="/v1/devices",
        operation_id="registerDevice",
        summary="Register device",
        description="Registers a device. Its secrets are stored encrypted and never shown. Set the "
        "`callback_url` from the response in the API Monitor.",
        answers=created("Registered.", ref("Device")),
        body=ref("DeviceBody"),
        examples={"example": _DEVICE_EXAMPLE},
        problems=(409,),
    ),
    _device(
        method="get",
        path="/v1/refused",
        operation_id="listRefusedCallbacks",
        summary="List refused callbacks",
        description="Returns the callbacks refused in the last seven days by source, the latest first. Use it if a "
        "device's punches don't arrive.",
        answers=ok("A page of sources.", page_of("RefusedCallbacks")),
        parameters=(LIMIT, CURSOR),
        scopes=REFUSED_READERS,
    ),
    _device(
        method="get",
        path="/v1/devices/{device_id}",
        operation_id="getDevice",
        summary="Get device",
        description="Returns a device with its counters and when it was last seen.",
        answers=ok("The device.", ref("Device")),
        scopes=DEVICE_READERS,
        parameters=(_DEVICE_ID,),
    ),
    _device(
        method="patch",
        path="/v1/devices/{device_id}",
        operation_id="updateDevice",
        summary="Update device",
        description="Changes the fields that you send. A new origin of gateway_url, or a new or removed "
        "security_key, requires the current auth_token in the same body. Otherwise, the answer is 403. "
        "The previous security_key stays valid for 24 hours.",
        answers=ok("The changed device.", ref("Device")),
        parameters=(_DEVICE_ID,),
        body=ref("DeviceChange"),
        examples={"example": {"label": "Back Door"}},
        problems=(412,),
    ),
    _device(
        method="post",
        path="/v1/devices/{device_id}/rotate-callback-secret",
        operation_id="rotateCallbackSecret",
        summary="Rotate callback secret",
        description="Creates a new callback secret and shows it once, in callback_url. The previous secret is "
        "accepted for 24 hours. Set the new Callback URL in the API Monitor within that time.",
        answers=ok("The device, with its new callback_url.", ref("Device")),
        parameters=(_DEVICE_ID,),
        problems=(409,),
    ),
    _device(
        method="delete",
        path="/v1/devices/{device_id}",
        operation_id="removeDevice",
        summary="Remove device",
        description="Removes a device with its users and their templates. Its events are kept for the "
        "retention period.",
        answers=no_content("Removed."),
        parameters=(_DEVICE_ID,),
        problems=(412,),
    ),
)

SUBSCRIPTIONS: tuple[Endpoint, ...] = (
    _read_subscription(
        path="/v1/subscriptions",
        operation_id="listSubscriptions",
        summary="List subscriptions",
        description="Returns the subscriptions, oldest first, each with the state of its deliveries.",
        answers=ok("A page of subscriptions.", page_of("Subscription")),
        parameters=(LIMIT, CURSOR),
    ),
    _subscription(
        method="post",
        path="/v1/subscriptions",
        operation_id="createSubscription",
        summary="Subscribe to events",
        description="Subscribes a URL to events. The response contains the secret for verifying deliveries, "
        "which is not shown again. If your key already has the same subscription, it is returned with 200.",
        answers={
            **created("Subscribed.", ref("NewSubscription")),
            **existed("The existing subscription.", ref("NewSubscription")),
        },
        body=ref("SubscriptionBody"),
        examples={"example": _HOOK_EXAMPLE},
        problems=(409,),
    ),
    _read_subscription(
        path="/v1/subscriptions/{subscription_id}",
        operation_id="getSubscription",
        summary="Get subscription",
        description="Returns a subscription with the state of its deliveries.",
        answers=ok("The subscription.", ref("Subscription")),
        parameters=(_SUBSCRIPTION_ID,),
    ),
    _subscription(
        method="patch",
        path="/v1/subscriptions/{subscription_id}",
        operation_id="updateSubscription",
        summary="Update subscription",
        description="Changes the fields that you send. If target_url gets a new host, port or scheme, send "
        "the headers again with their values, or {} for none.",
        answers=ok("The changed subscription.", ref("Subscription")),
        parameters=(_SUBSCRIPTION_ID,),
        body=ref("SubscriptionChange"),
        examples={"example": {"batch_max": 100, "batch_wait_ms": 1000}},
        problems=(412,),
    ),
    _subscription(
        method="delete",
        path="/v1/subscriptions/{subscription_id}",
        operation_id="deleteSubscription",
        summary="Unsubscribe",
        description="Deletes a subscription. Undelivered events are kept for 60 seconds. A new subscription with the "
        "same target_url receives them, and the events that arrive in the meantime.",
        answers=no_content("Unsubscribed."),
        parameters=(
            _SUBSCRIPTION_ID,
            parameter(
                "now", "If true, nothing is kept.", {**flag("", False), "default": False, "examples": [True]}
            ),
        ),
        problems=(412,),
    ),
    _subscription(
        method="post",
        path="/v1/subscriptions/preview",
        operation_id="previewSubscription",
        summary="Preview delivery",
        description="Returns the body that a subscription with this format, field_mapping and template would send for "
        "a sample event. Nothing is sent or stored.",
        answers=ok("The preview.", ref("DeliveryPreview")),
        body=ref("PreviewBody"),
        examples={"example": {"format": "slack", "event_type": "device.silent"}},
    ),
    _subscription(
        method="post",
        path="/v1/subscriptions/{subscription_id}/test",
        operation_id="testSubscription",
        summary="Send a test event",
        description="Sends a sample event with `test` set to true. Its type is event_type, or else the "
        "subscription's first type. It is sent immediately or after delay_seconds. "
        "To see the result, get the delivery with delivery_id.",
        answers=accepted("The event will be sent.", ref("TestSent")),
        parameters=(_SUBSCRIPTION_ID,),
        body=ref("TestBody"),
        body_required=False,
        examples={"at_once": {}, "later": {"event_type": "attendance.punch", "delay_seconds": 15}},
        problems=(409,),
    ),
    _subscription(
        method="post",
        path="/v1/subscriptions/{subscription_id}/replay",
        operation_id="replayEvents",
        summary="Replay events",
        description="Delivers stored events again, either the subscription's events received in a time range, "
        "or those with the given IDs (bat_… for a failed batch). Send since or event_ids. The Location header is the "
        "replay's URL.",
        answers=accepted("The events will be sent.", ref("Replay"), is_located=True),
        parameters=(_SUBSCRIPTION_ID,),
        body=ref("ReplayBody"),
        examples={
            "time_range": {"since": "2026-11-24T00:00:00Z", "until": "2036-11-25T00:00:00Z"},
            "ids": {"event_ids": ["evt_01kay8ds0r000000"]},
        },
    ),
    _subscription(
        method="post",
        path="/v1/subscriptions/{subscription_id}/rotate-secret",
        operation_id="rotateSubscriptionSecret",
        summary="Rotate secret",
        description="Creates a new secret, which is shown only once. For 24 hours, deliveries are signed with both "
        "secrets.",
        answers=ok("The subscription with its new secret.", ref("SubscriptionWithSecret")),
        parameters=(_SUBSCRIPTION_ID,),
    ),
    _subscription(
        method="post",
        path="/v1/signing-keys/rotate",
        operation_id="rotateSigningKey",
        summary="Rotate signing key",
        description="Creates a key pair for Ed25519 signatures. The previous ones also sign for 24 hours, or for as "
        "many seconds as you say.",
        answers=ok("The public keys, newest first.", ref("SigningKeys")),
        scopes=("admin",),
        body=ref("SigningKeyRotation"),
        body_required=False,
        examples={"example": {"previous_key_expires_in": 3600}},
    ),
    _subscription(
        method="get",
        path="/.well-known/jwks.json",
        operation_id="getSigningKeys",
        summary="Get signing keys",
        description="Returns the public keys that verify Ed25519 signatures of deliveries, as a JSON Web Key Set. No "
        "API key is required.",
        answers=ok("The public keys, newest first.", ref("SigningKeys")),
        scopes=PUBLIC,
        problems=(409, 503),
    ),
    _subscription(
        method="post",
        path="/v1/subscriptions/{subscription_id}/disable",
        operation_id="disableSubscription",
        summary="Disable subscription",
        description="Disables a subscription until it is enabled again. Deliveries that are waiting are kept.",
        answers=ok("The changed subscription.", ref("Subscription")),
        parameters=(_SUBSCRIPTION_ID,),
    ),
    _subscription(
        method="post",
        path="/v1/subscriptions/{subscription_id}/enable",
        operation_id="enableSubscription",
        summary="Enable subscription",
        description="Enables a disabled subscription. Deliveries that were waiting for a retry are sent first.",
        answers=ok("The changed subscription.", ref("Subscription")),
        parameters=(_SUBSCRIPTION_ID,),
    ),
    _read_subscription(
        path="/v1/subscriptions/{subscription_id}/deliveries",
        operation_id="listDeliveries",
        summary="List deliveries",
        description="Returns the deliveries that have been attempted, with their attempts, latest first. Those that "
        "wait for their first attempt are listed with status=pending.",
        answers=ok("A page of deliveries.", page_of("Delivery")),
        parameters=(
            _SUBSCRIPTION_ID,
            parameter(
                "status", "Only deliveries with this status.", text("", "delivered", enum=list(STATUSES))
            ),
            parameter("event_id", "Only deliveries of this event.", text("", "evt_01kay8ds0r000000")),
            _SINCE,
            _UNTIL,
            LIMIT,
            CURSOR,
        ),
    ),
    _read_subscription(
        path="/v1/subscriptions/{subscription_id}/replays",
        operation_id="listReplays",
        summary="List replays",
        description="Returns the replays of a subscription, latest first.",
        answers=ok("A page of replays.", page_of("Replay")),
        parameters=(_SUBSCRIPTION_ID, LIMIT, CURSOR),
    ),
    _read_subscription(
        path="/v1/deliveries/{delivery_id}",
        operation_id="getDelivery",
        summary="Get delivery",
        description="Returns a delivery with its attempts.",
        answers=ok("The delivery.", ref("Delivery")),
        parameters=(_DELIVERY_ID,),
    ),
    _subscription(
        method="post",
        path="/v1/deliveries/{delivery_id}/retry",
        operation_id="retryDelivery",
        summary="Retry delivery",
        description="Attempts a delivery again now, even if it is a dead letter. If the attempt fails, the retry "
        "schedule starts from the beginning.",
        answers=accepted("The delivery will be attempted.", ref("Delivery")),
        parameters=(_DELIVERY_ID,),
        problems=(409,),
    ),
    _read_subscription(
        path="/v1/replays/{replay_id}",
        operation_id="getReplay",
        summary="Get replay",
        description="Returns a replay with its progress.",
        answers=ok("The replay.", ref("Replay")),
        parameters=(_REPLAY_ID,),
    ),
    _subscription(
        method="post",
        path="/v1/replays/{replay_id}/cancel",
        operation_id="cancelReplay",
        summary="Cancel replay",
        description="Stops a replay. Events that it has already queued are still sent. A replay that has ended "
        "isn't changed.",
        answers=ok("The replay.", ref("Replay")),
        parameters=(_REPLAY_ID,),
    ),
)
