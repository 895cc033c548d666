"""Devices and subscriptions, as endpoints."""

from __future__ import annotations

from functools import partial

from app.api.subscriptions import STATUSES
from app.openapi.bodies import DEVICE, SUBSCRIPTION
from app.openapi.parts import (
    CURSOR,
    LIMIT,
    Endpoint,
    Json,
    accepted,
    created,
    in_path,
    no_content,
    ok,
    page_of,
    parameter,
    ref,
    text,
)

_DEVICE_ID = in_path("device_id", "The device's Service Tag ID (stgid).", "ZHM1100001")
_SUBSCRIPTION_ID = in_path("subscription_id", "The subscription's id.", "sub_4h3gw8x2m1k6p9r5t7v3y2b1")
_DEVICE_READERS = ("devices:write", "events:read", "actions:read")


def _examples(body: Json, *names: str) -> Json:
    return {name: body["properties"][name]["examples"][0] for name in names}


_DEVICE_EXAMPLE = _examples(DEVICE, "device_id", "auth_token", "gateway_url", "label", "mode", "timezone")
_HOOK_EXAMPLE = _examples(SUBSCRIPTION, "target_url", "events")

_device = partial(Endpoint, tags=("devices",), scopes=("devices:write",))
_subscription = partial(Endpoint, tags=("subscriptions",), scopes=("subscriptions:write",))

DEVICES: tuple[Endpoint, ...] = (
    _device(
        method="get",
        path="/v1/devices",
        operation_id="listDevices",
        tags=("devices", "actions"),
        summary="List devices",
        description="The registered devices by id, each with its label, mode and when it was last seen. Gives the "
        "device_id that actions need.",
        answers=ok("A page of devices.", page_of("Device")),
        scopes=_DEVICE_READERS,
        parameters=(LIMIT, CURSOR),
    ),
    _device(
        method="post",
        path="/v1/devices",
        operation_id="registerDevice",
        summary="Register device",
        description="Registers a machine. Its secrets are kept encrypted and never shown. Set the `callback_url` of "
        "the answer in the API Monitor.",
        answers=created("Registered.", ref("Device")),
        body=ref("DeviceBody"),
        examples={"example": _DEVICE_EXAMPLE},
        problems=(409,),
    ),
    _device(
        method="get",
        path="/v1/devices/{device_id}",
        operation_id="getDevice",
        summary="Get device",
        description="One device, with when it was last seen and its counters.",
        answers=ok("The device.", ref("Device")),
        scopes=_DEVICE_READERS,
        parameters=(_DEVICE_ID,),
    ),
    _device(
        method="patch",
        path="/v1/devices/{device_id}",
        operation_id="updateDevice",
        summary="Update device",
        description="Changes what is sent of it. With another security_key the former one stays valid for reading; "
        "with null both are removed.",
        answers=ok("The device as it is now.", ref("Device")),
        parameters=(_DEVICE_ID,),
        body=ref("DeviceChange"),
        examples={"example": {"label": "Back Door"}},
    ),
    _device(
        method="delete",
        path="/v1/devices/{device_id}",
        operation_id="removeDevice",
        summary="Remove device",
        description="Removes a device with its users and their templates. Its events stay until they are too old.",
        answers=no_content("Removed."),
        parameters=(_DEVICE_ID,),
    ),
)

SUBSCRIPTIONS: tuple[Endpoint, ...] = (
    _subscription(
        method="get",
        path="/v1/subscriptions",
        operation_id="listSubscriptions",
        summary="List subscriptions",
        description="The subscriptions, oldest first, each with the state of its deliveries.",
        answers=ok("A page of subscriptions.", page_of("Subscription")),
        parameters=(LIMIT, CURSOR),
    ),
    _subscription(
        method="post",
        path="/v1/subscriptions",
        operation_id="createSubscription",
        summary="Subscribe to events",
        description="Subscribes a URL to events. Its secret, to verify deliveries with, is shown this once.",
        answers=created("Subscribed.", ref("SubscriptionWithSecret")),
        body=ref("SubscriptionBody"),
        examples={"example": _HOOK_EXAMPLE},
    ),
    _subscription(
        method="get",
        path="/v1/subscriptions/{subscription_id}",
        operation_id="getSubscription",
        summary="Get subscription",
        description="One subscription, with the state of its deliveries.",
        answers=ok("The subscription.", ref("Subscription")),
        parameters=(_SUBSCRIPTION_ID,),
    ),
    _subscription(
        method="patch",
        path="/v1/subscriptions/{subscription_id}",
        operation_id="updateSubscription",
        summary="Update subscription",
        description="Changes what is sent of it; what is left out stays. With a target_url of another host, port or "
        "scheme the headers are needed again, with their values, or {} for none.",
        answers=ok("The subscription as it is now.", ref("Subscription")),
        parameters=(_SUBSCRIPTION_ID,),
        body=ref("SubscriptionChange"),
        examples={"example": {"batch_max": 100, "batch_wait_ms": 1000}},
    ),
    _subscription(
        method="delete",
        path="/v1/subscriptions/{subscription_id}",
        operation_id="deleteSubscription",
        summary="Unsubscribe",
        description="Ends a subscription; what was not delivered yet is dropped.",
        answers=no_content("Unsubscribed."),
        parameters=(_SUBSCRIPTION_ID,),
    ),
    _subscription(
        method="post",
        path="/v1/subscriptions/{subscription_id}/test",
        operation_id="testSubscription",
        summary="Send a test event",
        description="Sends a made-up event, with `test` true, of the first type that is subscribed to or of "
        "event_type, at once or after delay_seconds.",
        answers=accepted("It is on its way.", ref("TestSent")),
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
        description="Delivers stored events again: those of a time of receipt that it takes, or those with the "
        "given ids (bat_… for a batch that failed). Give since or event_ids.",
        answers=accepted("They are on their way.", ref("Replayed")),
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
        description="Makes a new secret, shown this once. For 24 hours deliveries are signed with both.",
        answers=ok("The subscription with its new secret.", ref("SubscriptionWithSecret")),
        parameters=(_SUBSCRIPTION_ID,),
    ),
    _subscription(
        method="post",
        path="/v1/subscriptions/{subscription_id}/enable",
        operation_id="enableSubscription",
        summary="Enable subscription",
        description="Lets a disabled subscription take events again; what waited for a retry goes first.",
        answers=ok("The subscription as it is now.", ref("Subscription")),
        parameters=(_SUBSCRIPTION_ID,),
    ),
    _subscription(
        method="get",
        path="/v1/subscriptions/{subscription_id}/deliveries",
        operation_id="listDeliveries",
        summary="List deliveries",
        description="Deliveries with their attempts, latest first.",
        answers=ok("A page of deliveries.", page_of("Delivery")),
        parameters=(
            _SUBSCRIPTION_ID,
            parameter("status", "Only those of this status.", text("", "delivered", enum=list(STATUSES))),
            LIMIT,
            CURSOR,
        ),
    ),
)
