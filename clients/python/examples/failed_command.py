"""Enables a user, and says what to do if that fails: failed_command.py DEVICE_ID USER_ID."""

import os
import sys

from cams_relay_client import CommandError, CommandNotEnded, OutcomeUnknown, Relay

device_id, user_id = sys.argv[1:]
with Relay(os.environ["RELAY_URL"], os.environ["RELAY_API_KEY"]) as relay:
    try:
        relay.run("enable-user", device_id, user_id=user_id)
    except OutcomeUnknown as error:
        print(f"Check the device before you try again: {error.detail}")
    except CommandError as error:
        if error.code == "user_not_found":
            print("Add the user first.")
        else:
            print(f"Failed: {error.detail}")
    except CommandNotEnded:
        print(
            "The command hasn't ended yet. If the device is offline, it is carried out when the device is back."
        )
    else:
        print("Enabled.")
