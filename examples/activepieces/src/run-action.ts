import { createAction, DynamicPropsValue, InputPropertyMap, Property } from '@activepieces/pieces-framework';
import { call, Connection, relayAuth } from './relay';

type Field = { type: 'string' | 'integer' | 'boolean'; description: string; enum?: string[] };
type Operation = {
  summary: string;
  requestBody: { content: { 'application/json': { schema: { properties: Record<string, Field>; required?: string[] } } } };
};

const CHOOSE_FIRST = { disabled: true, options: [], placeholder: 'Connect to a relay first' };

/** Returns all actions by name, as described by the relay. */
async function operations(auth: Connection): Promise<Record<string, Operation>> {
  const { paths } = await call<{ paths: Record<string, { post: Operation }> }>(
    auth, 'GET', '/openapi.json?version=3.0&tag=actions',
  );
  const actions = Object.entries(paths).filter(([path]) => path.startsWith('/v1/actions/'));
  return Object.fromEntries(actions.map(([path, { post }]) => [path.slice('/v1/actions/'.length), post]));
}

/** Returns the form field for a field of an action. `device_id` has its own dropdown. */
function property(name: string, { type, description, enum: choices }: Field, required: boolean) {
  const title = name.replaceAll('_', ' ').replace(/\b[a-z]/g, (letter) => letter.toUpperCase());
  const about = { displayName: title, description, required };
  if (choices) {
    return Property.StaticDropdown({ ...about, options: { options: choices.map((value) => ({ label: value, value })) } });
  }
  if (type === 'integer') return Property.Number(about);
  return type === 'boolean' ? Property.Checkbox(about) : Property.ShortText(about);
}

export const runAction = createAction({
  auth: relayAuth,
  name: 'run_action',
  displayName: 'Run Action on a Machine',
  description: 'Adds, changes or deletes users, reads logs and device information. Offers all actions of cams-relay.',
  props: {
    device_id: Property.Dropdown<string, true, typeof relayAuth>({
      auth: relayAuth,
      displayName: 'Machine',
      description: 'The machine that carries out the action',
      required: true,
      refreshers: [],
      options: async ({ auth }) => {
        if (!auth) return CHOOSE_FIRST;
        const { data } = await call<{ data: { device_id: string; label: string | null }[] }>(
          auth, 'GET', '/v1/devices?limit=200',
        );
        return { options: data.map(({ device_id, label }) => ({ label: label ?? device_id, value: device_id })) };
      },
    }),
    action: Property.Dropdown<string, true, typeof relayAuth>({
      auth: relayAuth,
      displayName: 'Action',
      description: 'What the machine should do. The fields below depend on it',
      required: true,
      refreshers: [],
      options: async ({ auth }) => {
        if (!auth) return CHOOSE_FIRST;
        const found = Object.entries(await operations(auth));
        return { options: found.map(([value, { summary }]) => ({ label: summary, value })) };
      },
    }),
    fields: Property.DynamicProperties<true, typeof relayAuth>({
      auth: relayAuth,
      displayName: 'Fields',
      description: 'The fields of the selected action',
      required: true,
      refreshers: ['action'],
      props: async ({ auth, action }): Promise<InputPropertyMap> => {
        const operation = auth && action ? (await operations(auth))[String(action)] : undefined;
        if (!operation) return {};
        const { properties, required = [] } = operation.requestBody.content['application/json'].schema;
        const fields = Object.entries(properties).filter(([name]) => name !== 'device_id');
        return Object.fromEntries(
          fields.map(([name, field]) => [name, property(name, field, required.includes(name))]),
        );
      },
    }),
  },
  async run({ auth, propsValue: { device_id, action, fields } }) {
    const filledIn = Object.entries(fields as DynamicPropsValue).filter(([, value]) => (value ?? '') !== '');
    return call(auth, 'POST', `/v1/actions/${action}`, { device_id, ...Object.fromEntries(filledIn) });
  },
});
