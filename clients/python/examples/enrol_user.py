"""Adds a user with a card to a device: enrol_user.py DEVICE_ID USER_ID CARD_NUMBER."""

import os
import sys

from cams_relay_client import Relay

device_id, user_id, card_number = sys.argv[1:]
with Relay(os.environ["RELAY_URL"], os.environ["RELAY_API_KEY"]) as relay:
    command = relay.run("add-user", device_id, user_id=user_id, first_name="Asha", card_number=card_number)
    print(command["id"], command["status"])
