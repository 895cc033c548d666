// Writes yesterday's punches, by the devices' own clocks, to standard output as CSV.
import { Relay } from 'cams-relay-client';

const day = 24 * 60 * 60 * 1000;
const yesterday = process.env.DAY ?? new Date(Date.now() - day).toISOString().slice(0, 10);
// A day before and after covers all time zones; local_date then selects the day of the punch.
const [begin, end] = [-1, 2].map((days) => new Date(Date.parse(yesterday) + days * day).toISOString());
const relay = new Relay({ url: process.env.RELAY_URL, apiKey: process.env.RELAY_API_KEY });
const copied = new Set();
for await (const event of relay.events({ type: 'attendance.punch', occurred_since: begin, occurred_until: end })) {
  // The newest come first. If a punch was corrected, older revisions of it are skipped.
  if (event.type === 'attendance.punch' && event.local_date === yesterday && !copied.has(event.punch_id)) {
    copied.add(event.punch_id);
    console.log([event.occurred_at, event.device_id, event.user_id, event.punch_type].join(','));
  }
}
