"""Devices and subscriptions, as endpoints."""

from __future__ import annotations

from app.api.subscriptions import STATUSES
from app.openapi.bodies import DEVICE, SUBSCRIPTION
from app.openapi.parts import (
    CURSOR,
    LIMIT,
    Answer,
    Endpoint,
    Json,
    in_path,
    page_of,
    parameter,
    ref,
    text,
)

_LOCATION: Json = {"description": "Its URL.", "schema": {"type": "string"}}
_DEVICE_ID = in_path("device_id", "The device's Service Tag ID (stgid).", "ZHM1100001")
_SUBSCRIPTION_ID = in_path("subscription_id", "The subscription's id.", "sub_4h3gw8x2m1k6p9r5t7v3y2b1")
_DEVICE_READERS = ("devices:write", "events:read", "actions:read")
_HOOKS = ("subscriptions:write",)


def _examples(body: Json, *names: str) -> Json:
    return {name: body["properties"][name]["examples"][0] for name in names}


_DEVICE_EXAMPLE = _examples(DEVICE, "device_id", "auth_token", "gateway_url", "label", "mode", "timezone")
_HOOK_EXAMPLE = _examples(SUBSCRIPTION, "target_url", "events")

DEVICES: tuple[Endpoint, ...] = (
    Endpoint(
        method="get",
        path="/v1/devices",
        operation_id="listDevices",
        tags=("devices", "actions"),
        summary="List devices",
        description="The registered devices by id, each with its label, mode and when it was last seen. Gives the "
        "device_id that actions need.",
        answers={200: Answer("A page of devices.", page_of("Device"))},
        scopes=_DEVICE_READERS,
        parameters=(LIMIT, CURSOR),
    ),
    Endpoint(
        method="post",
        path="/v1/devices",
        operation_id="registerDevice",
        tags=("devices",),
        summary="Register device",
        description="Registers a machine. Its secrets are kept encrypted and never shown. Set the `callback_url` of "
        "the answer in the API Monitor.",
        answers={201: Answer("Registered.", ref("Device"), headers={"Location": _LOCATION})},
        scopes=("devices:write",),
        body=ref("DeviceBody"),
        examples={"example": _DEVICE_EXAMPLE},
        problems=(409,),
    ),
    Endpoint(
        method="get",
        path="/v1/devices/{device_id}",
        operation_id="getDevice",
        tags=("devices",),
        summary="Get device",
        description="One device, with when it was last seen and its counters.",
        answers={200: Answer("The device.", ref("Device"))},
        scopes=_DEVICE_READERS,
        parameters=(_DEVICE_ID,),
    ),
    Endpoint(
        method="patch",
        path="/v1/devices/{device_id}",
        operation_id="updateDevice",
        tags=("devices",),
        summary="Update device",
        description="Changes what is sent of it. With another security_key the former one stays valid for reading; "
        "with null both are removed.",
        answers={200: Answer("The device as it is now.", ref("Device"))},
        scopes=("devices:write",),
        parameters=(_DEVICE_ID,),
        body=ref("DeviceChange"),
        examples={"example": {"label": "Back Door"}},
    ),
    Endpoint(
        method="delete",
        path="/v1/devices/{device_id}",
        operation_id="removeDevice",
        tags=("devices",),
        summary="Remove device",
        description="Removes a device with its users and their templates. Its events stay until they are too old.",
        answers={204: Answer("Removed.")},
        scopes=("devices:write",),
        parameters=(_DEVICE_ID,),
    ),
)

SUBSCRIPTIONS: tuple[Endpoint, ...] = (
    Endpoint(
        method="get",
        path="/v1/subscriptions",
        operation_id="listSubscriptions",
        tags=("subscriptions",),
        summary="List subscriptions",
        description="The subscriptions, oldest first, each with the state of its deliveries.",
        answers={200: Answer("A page of subscriptions.", page_of("Subscription"))},
        scopes=_HOOKS,
        parameters=(LIMIT, CURSOR),
    ),
    Endpoint(
        method="post",
        path="/v1/subscriptions",
        operation_id="createSubscription",
        tags=("subscriptions",),
        summary="Subscribe to events",
        description="Subscribes a URL to events. Its secret, to verify deliveries with, is shown this once.",
        answers={201: Answer("Subscribed.", ref("SubscriptionWithSecret"), headers={"Location": _LOCATION})},
        scopes=_HOOKS,
        body=ref("SubscriptionBody"),
        examples={"example": _HOOK_EXAMPLE},
    ),
    Endpoint(
        method="get",
        path="/v1/subscriptions/{subscription_id}",
        operation_id="getSubscription",
        tags=("subscriptions",),
        summary="Get subscription",
        description="One subscription, with the state of its deliveries.",
        answers={200: Answer("The subscription.", ref("Subscription"))},
        scopes=_HOOKS,
        parameters=(_SUBSCRIPTION_ID,),
    ),
    Endpoint(
        method="patch",
        path="/v1/subscriptions/{subscription_id}",
        operation_id="updateSubscription",
        tags=("subscriptions",),
        summary="Update subscription",
        description="Changes what is sent of it; what is left out stays.",
        answers={200: Answer("The subscription as it is now.", ref("Subscription"))},
        scopes=_HOOKS,
        parameters=(_SUBSCRIPTION_ID,),
        body=ref("SubscriptionChange"),
        examples={"example": {"batch_max": 100, "batch_wait_ms": 1000}},
    ),
    Endpoint(
        method="delete",
        path="/v1/subscriptions/{subscription_id}",
        operation_id="deleteSubscription",
        tags=("subscriptions",),
        summary="Unsubscribe",
        description="Ends a subscription; what was not delivered yet is dropped.",
        answers={204: Answer("Unsubscribed.")},
        scopes=_HOOKS,
        parameters=(_SUBSCRIPTION_ID,),
    ),
    Endpoint(
        method="post",
        path="/v1/subscriptions/{subscription_id}/test",
        operation_id="testSubscription",
        tags=("subscriptions",),
        summary="Send a test event",
        description="Sends a made-up event, with `test` true, of the first type that is subscribed to or of "
        "event_type, at once or after delay_seconds.",
        answers={202: Answer("It is on its way.", ref("TestSent"))},
        scopes=_HOOKS,
        parameters=(_SUBSCRIPTION_ID,),
        body=ref("TestBody"),
        body_required=False,
        examples={"at_once": {}, "later": {"event_type": "attendance.punch", "delay_seconds": 15}},
        problems=(409,),
    ),
    Endpoint(
        method="post",
        path="/v1/subscriptions/{subscription_id}/replay",
        operation_id="replayEvents",
        tags=("subscriptions",),
        summary="Replay events",
        description="Delivers stored events again: those of a time of receipt that it takes, or those with the "
        "given ids (bat_… for a batch that failed). Give since or event_ids.",
        answers={202: Answer("They are on their way.", ref("Replayed"))},
        scopes=_HOOKS,
        parameters=(_SUBSCRIPTION_ID,),
        body=ref("ReplayBody"),
        examples={
            "time_range": {"since": "2026-11-24T00:00:00Z", "until": "2036-11-25T00:00:00Z"},
            "ids": {"event_ids": ["evt_01kay8ds0r000000"]},
        },
    ),
    Endpoint(
        method="post",
        path="/v1/subscriptions/{subscription_id}/rotate-secret",
        operation_id="rotateSubscriptionSecret",
        tags=("subscriptions",),
        summary="Rotate secret",
        description="Makes a new secret, shown this once. For 24 hours deliveries are signed with both.",
        answers={200: Answer("The subscription with its new secret.", ref("SubscriptionWithSecret"))},
        scopes=_HOOKS,
        parameters=(_SUBSCRIPTION_ID,),
    ),
    Endpoint(
        method="post",
        path="/v1/subscriptions/{subscription_id}/enable",
        operation_id="enableSubscription",
        tags=("subscriptions",),
        summary="Enable subscription",
        description="Lets a disabled subscription take events again; what waited for a retry goes first.",
        answers={200: Answer("The subscription as it is now.", ref("Subscription"))},
        scopes=_HOOKS,
        parameters=(_SUBSCRIPTION_ID,),
    ),
    Endpoint(
        method="get",
        path="/v1/subscriptions/{subscription_id}/deliveries",
        operation_id="listDeliveries",
        tags=("subscriptions",),
        summary="List deliveries",
        description="Deliveries with their attempts, latest first.",
        answers={200: Answer("A page of deliveries.", page_of("Delivery"))},
        scopes=_HOOKS,
        parameters=(
            _SUBSCRIPTION_ID,
            parameter("status", "Only those of this status.", text("", "delivered", enum=list(STATUSES))),
            LIMIT,
            CURSOR,
        ),
    ),
)
