import { createHmac, timingSafeEqual } from 'node:crypto';
import { createTrigger, DEDUPE_KEY_PROPERTY, Property, TriggerStrategy } from '@activepieces/pieces-framework';
import { call, relayAuth } from './relay';

type Event = { id: string; [name: string]: unknown };
type Subscription = { id: string; secret: string };
type NewSubscription = { id: string; secret: string | null };

const SUBSCRIPTION = 'subscription';

export const newEvent = createTrigger({
  auth: relayAuth,
  name: 'new_event',
  displayName: 'New Event',
  description: 'Triggers when a machine reports a punch, a photo, a user change, or the end of a command.',
  type: TriggerStrategy.WEBHOOK,
  props: {
    events: Property.MultiSelectDropdown<string, true, typeof relayAuth>({
      auth: relayAuth,
      displayName: 'Event Types',
      description: 'The events that start the flow',
      required: true,
      refreshers: [],
      options: async ({ auth }) => {
        if (!auth) return { disabled: true, options: [], placeholder: 'Connect to a relay first' };
        const { webhooks } = await call<{ webhooks: object }>(auth, 'GET', '/openapi.json?webhooks=1');
        return { options: Object.keys(webhooks).map((value) => ({ label: value, value })) };
      },
    }),
  },
  sampleData: undefined,

  async onEnable({ auth, propsValue, webhookUrl, store }) {
    const body = { target_url: webhookUrl, event_types: propsValue.events, description: 'Activepieces' };
    const { id, secret } = await call<NewSubscription>(auth, 'POST', '/v1/subscriptions', body);
    // The relay doesn't show the secret of a subscription that already existed.
    const again = () => call<Subscription>(auth, 'POST', `/v1/subscriptions/${id}/rotate-secret`);
    await store.put<Subscription>(SUBSCRIPTION, { id, secret: secret ?? (await again()).secret });
  },

  async onDisable({ auth, store }) {
    const subscription = await store.get<Subscription>(SUBSCRIPTION);
    if (!subscription) return;
    await call(auth, 'DELETE', `/v1/subscriptions/${subscription.id}`);
    await store.delete(SUBSCRIPTION);
  },

  /** Real events, or samples if there are none yet. */
  async test({ auth, propsValue }) {
    const type = encodeURIComponent(propsValue.events[0] ?? 'attendance.punch');
    return call<Event[]>(auth, 'GET', `/v1/events/samples?type=${type}`);
  },

  /** Activepieces has already responded. A forged delivery therefore starts no flow, but can't be refused. */
  async run({ payload, store }) {
    const subscription = await store.get<Subscription>(SUBSCRIPTION);
    const body = String(payload.rawBody);
    if (!subscription || !isGenuine(subscription.secret, payload.headers, body)) return [];
    const events = [JSON.parse(body)].flat() as Event[];
    return events.map((event) => ({ ...event, [DEDUPE_KEY_PROPERTY]: event.id }));
  },
});

function isGenuine(secret: string, headers: Record<string, string | undefined>, body: string): boolean {
  const id = headers['webhook-id'];
  const timestamp = headers['webhook-timestamp'];
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) < 300)) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  const expected = Buffer.from(`v1,${signature}`);
  // After a secret was rotated, deliveries have two signatures for a while. One must match.
  const given = (headers['webhook-signature'] ?? '').split(' ').map((one) => Buffer.from(one));
  return given.some((one) => one.length === expected.length && timingSafeEqual(one, expected));
}
