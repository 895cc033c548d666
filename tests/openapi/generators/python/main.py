"""Calls a relay with the client that openapi-generator made. The arguments are its URL, an API key and a device ID."""

import json
import sys

import openapi_client as generated

url, key, device_id = sys.argv[1:]
with generated.ApiClient(generated.Configuration(host=url, access_token=key)) as client:
    devices = generated.DevicesApi(client).list_devices().data
    command = generated.ActionsApi(client).enable_user(
        generated.EnableUserBody(device_id=device_id, user_id="8")
    )
    subscription = generated.SubscriptionsApi(client).create_subscription(
        generated.SubscriptionBody(target_url="http://127.0.0.1:9/python", event_types=["attendance.*"])
    )
    punches = generated.EventsApi(client).list_events(type="attendance.punch").data
print(
    json.dumps(
        {
            "devices": [device.device_id for device in devices],
            "status": command.status,
            "target_url": subscription.target_url,
            "users": [punch.actual_instance.user_id for punch in punches],
        }
    )
)
