"""Writes yesterday's punches, by the devices' own clocks, to standard output as CSV."""

import csv
import os
import sys
from datetime import UTC, datetime, timedelta

from cams_relay_client import Relay

now = datetime.now(UTC)
yesterday = os.environ.get("DAY") or (now - timedelta(days=1)).date().isoformat()
# `since` is the time of receipt. Two days more cover all time zones; local_date then selects the day of the punch.
since = (datetime.fromisoformat(yesterday) - timedelta(days=2)).date().isoformat()
out = csv.writer(sys.stdout)
copied = set()
with Relay(os.environ["RELAY_URL"], os.environ["RELAY_API_KEY"]) as relay:
    for event in relay.events(type="attendance.punch", since=since):
        # The newest come first. If a punch was corrected, older revisions of it are skipped.
        if (
            event["type"] == "attendance.punch"
            and event["local_date"] == yesterday
            and event["punch_id"] not in copied
        ):
            copied.add(event["punch_id"])
            out.writerow((event["occurred_at"], event["device_id"], event["user_id"], event["punch_type"]))
