"""Writes yesterday's punches, by the devices' own clocks, to standard output as CSV."""

import csv
import os
import sys
from datetime import UTC, datetime, timedelta

from cams_relay_client import Relay

now = datetime.now(UTC)
yesterday = os.environ.get("DAY") or (now - timedelta(days=1)).date().isoformat()
# A day before and after covers all time zones; local_date then selects the day of the punch.
midnight = datetime.fromisoformat(yesterday).replace(tzinfo=UTC)
begin, end = ((midnight + timedelta(days=days)).isoformat() for days in (-1, 2))
out = csv.writer(sys.stdout)
copied = set()
with Relay(os.environ["RELAY_URL"], os.environ["RELAY_API_KEY"]) as relay:
    for event in relay.events(type="attendance.punch", occurred_since=begin, occurred_until=end):
        # The newest come first. If a punch was corrected, older revisions of it are skipped.
        if (
            event["type"] == "attendance.punch"
            and event["local_date"] == yesterday
            and event["punch_id"] not in copied
        ):
            copied.add(event["punch_id"])
            out.writerow((event["occurred_at"], event["device_id"], event["user_id"], event["punch_type"]))
