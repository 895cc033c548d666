// A Pipedream action that sends a command to a device. Its fields come from the relay's OpenAPI description.
export default {
  key: 'cams_relay-run-action',
  name: 'Run an Action on an Attendance Machine',
  description: 'Add, change or delete users, or read logs and device information, with any action of cams-relay.',
  version: '0.1.0',
  type: 'action',
  props: {
    relayUrl: { type: 'string', label: 'Relay URL', description: 'Public URL of the relay without a path, for example `https://relay.example.com`' },
    apiKey: { type: 'string', label: 'API Key', description: 'A key of the relay with the scopes `actions:read` and `actions:write`. Deleting all users, logs or photos also needs `actions:destructive`', secret: true },
    action: {
      type: 'string',
      label: 'Action',
      description: 'What the machine should do. The fields below depend on it',
      async options() {
        const operations = Object.entries(await this.operations());
        return operations.map(([value, { summary }]) => ({ label: summary, value }));
      },
      reloadProps: true,
    },
  },
  async additionalProps() {
    const { schema } = (await this.operations())[this.action].requestBody.content['application/json'];
    const props = Object.entries(schema.properties).map(([name, field]) => [name, {
      type: field.type === 'number' ? 'string' : field.type,
      label: name.replaceAll('_', ' ').replace(/^./, (first) => first.toUpperCase()),
      description: field.description,
      optional: !schema.required?.includes(name),
      options: field.enum,
    }]);
    const { data: devices } = await this.call('GET', '/v1/devices?limit=200');
    const made = Object.fromEntries(props);
    made.device_id.options = devices.map(({ device_id: value, label }) => ({ label: label ?? value, value }));
    return made;
  },
  methods: {
    async call(method, path, body, headers = {}) {
      const response = await fetch(this.relayUrl.replace(/\/$/, '') + path, {
        method,
        headers: { 'X-API-Key': this.apiKey, 'Content-Type': 'application/json', ...headers },
        body: body && JSON.stringify(body),
      });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.detail ?? `The relay answered ${response.status}`);
      return answer;
    },
    /** The action's name, for example `add-user`. */
    async operations() {
      const { paths } = await this.call('GET', '/openapi.json?version=3.0&tag=actions');
      const actions = Object.entries(paths).filter(([path]) => path.startsWith('/v1/actions/'));
      return Object.fromEntries(actions.map(([path, { post }]) => [path.split('/').at(-1), post]));
    },
  },
  async run({ $ }) {
    const { schema } = (await this.operations())[this.action].requestBody.content['application/json'];
    const given = Object.keys(schema.properties).filter((name) => this[name] !== undefined);
    const body = Object.fromEntries(given.map((name) => [name, this[name]]));
    // Less than 30 s, the default timeout of a workflow.
    const answer = await this.call('POST', `/v1/actions/${this.action}`, body, { Prefer: 'wait=20' });
    $.export('$summary', `${this.action}: ${answer.message ?? answer.status}`);
    return answer;
  },
};
