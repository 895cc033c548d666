'use strict';

const { failure } = require('./errors');
const { call, relayUrl } = require('./relay');

const DOCS = 'https://github.com/cams-relay/cams-relay/blob/main/docs/integrations/zapier.md';

/** Returns the key's data, which the connection's label also uses. */
async function test(z, bundle) {
	const { data } = await call(z, bundle, 'GET', '/v1/me');
	if (!Array.isArray(data?.scopes)) {
		const url = relayUrl(z, bundle);
		throw failure(
			z,
			`There is no cams-relay at ${url}. Enter its URL without a path.`,
			'no_relay',
			422,
		);
	}
	return data;
}

module.exports = {
	type: 'custom',
	test,
	// For the label, core passes the result of `test` in inputData.
	connectionLabel: (z, bundle) =>
		`${bundle.inputData.name} at ${new URL(relayUrl(z, bundle)).host}`,
	fields: [
		{
			key: 'relay_url',
			label: 'Relay URL',
			type: 'string',
			required: true,
			isNoSecret: true,
			placeholder: 'https://relay.example.com',
			helpText: `Public URL of your cams-relay, without a path. [How to set it up](${DOCS}).`,
		},
		{
			key: 'api_key',
			label: 'API Key',
			type: 'password',
			required: true,
			helpText: `An API key of the relay with the scopes \`events:read\`, \`subscriptions:write\`, \`actions:read\` and \`actions:write\`. [How to create one](${DOCS}#connect).`,
		},
	],
};
