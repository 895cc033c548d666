// A Pipedream source that subscribes to cams-relay when it is turned on, and emits each event once.
import { createHmac, timingSafeEqual } from 'node:crypto';

export default {
  key: 'cams_relay-new-event',
  name: 'New Event from an Attendance Machine (Instant)',
  description: 'Emit new event when a machine reports a punch, a photo, a user change, or the end of a command.',
  version: '0.1.0',
  type: 'source',
  dedupe: 'unique',
  props: {
    relayUrl: { type: 'string', label: 'Relay URL', description: 'Public URL of the relay without a path, for example `https://relay.example.com`' },
    apiKey: {
      type: 'string',
      label: 'API Key',
      description: 'A key of the relay with the scopes `subscriptions:write` and `events:read`',
      secret: true,
    },
    events: {
      type: 'string[]',
      label: 'Event Types',
      description: 'The events to emit: types, families such as `user.*`, or `*` for all',
      async options() {
        const { webhooks } = await this.call('GET', '/openapi.json?webhooks=1');
        return [...Object.keys(webhooks), '*'];
      },
    },
    db: '$.service.db',
    http: { type: '$.interface.http', customResponse: true },
  },
  hooks: {
    // Emits samples, so that users can select fields in later steps before the first punch.
    async deploy() {
      for (const type of this.events) {
        const query = new URLSearchParams({ type: type === '*' ? 'attendance.punch' : type });
        for (const event of await this.call('GET', `/v1/events/samples?${query}`)) {
          this.emit(event);
        }
      }
    },
    async activate() {
      const body = { target_url: this.http.endpoint, event_types: this.events, description: 'Pipedream' };
      const { id, secret } = await this.call('POST', '/v1/subscriptions', body);
      this.db.set('subscription', { id, secret: secret ?? (await this.newSecret(id)) });
    },
    async deactivate() {
      const subscription = this.db.get('subscription');
      if (!subscription) return;
      await this.call('DELETE', `/v1/subscriptions/${subscription.id}`);
      this.db.set('subscription', null);
    },
  },
  methods: {
    async call(method, path, body) {
      const response = await fetch(this.relayUrl.replace(/\/$/, '') + path, {
        method,
        headers: { 'X-API-Key': this.apiKey, 'Content-Type': 'application/json' },
        body: body && JSON.stringify(body),
      });
      const text = await response.text();
      const gone = method === 'DELETE' && response.status === 404; // already deleted
      if (!response.ok && !gone) throw new Error(`${response.status} ${text}`);
      return response.status === 200 || response.status === 201 ? JSON.parse(text) : undefined;
    },
    /** Returns a new secret for a subscription that already existed, because the relay doesn't show its secret again. */
    async newSecret(id) {
      return (await this.call('POST', `/v1/subscriptions/${id}/rotate-secret`)).secret;
    },
    isGenuine({ headers, bodyRaw }) {
      const { secret } = this.db.get('subscription') ?? {};
      const id = headers['webhook-id'];
      const timestamp = headers['webhook-timestamp'];
      if (!secret || !id || !(Math.abs(Date.now() / 1000 - Number(timestamp)) < 300)) return false;
      const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
      const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${bodyRaw}`).digest('base64');
      const expected = Buffer.from(`v1,${signature}`);
      // After a secret was rotated, deliveries have two signatures for a while. One must match.
      const given = (headers['webhook-signature'] ?? '').split(' ').map((one) => Buffer.from(one));
      return given.some((one) => one.length === expected.length && timingSafeEqual(one, expected));
    },
    emit(event) {
      const summary = [event.type, event.user_name ?? event.user_id, event.device_label ?? event.device_id];
      this.$emit(event, {
        id: event.id,
        summary: summary.filter(Boolean).join(' · '),
        ts: Date.parse(event.occurred_at ?? event.received_at),
      });
    },
  },
  async run(request) {
    if (!this.isGenuine(request)) {
      this.http.respond({ status: 401 });
      return;
    }
    for (const event of [JSON.parse(request.bodyRaw)].flat()) this.emit(event);
    this.http.respond({ status: 204 });
  },
};
