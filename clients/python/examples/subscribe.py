"""Subscribes a URL to all punches, and prints the secret that your receiver needs."""

import os
import sys

from cams_relay_client import Relay

with Relay(os.environ["RELAY_URL"], os.environ["RELAY_API_KEY"]) as relay:
    subscription = relay.subscribe(sys.argv[1], ["attendance.punch"])
    print(subscription["id"], subscription["secret"])
