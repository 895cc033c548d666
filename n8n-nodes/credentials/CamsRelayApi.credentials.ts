import type {
	IAuthenticateGeneric,
	Icon,
	ICredentialTestRequest,
	ICredentialType,
	INodeProperties,
} from 'n8n-workflow';

export class CamsRelayApi implements ICredentialType {
	name = 'camsRelayApi';

	displayName = 'Cams Relay API';

	icon: Icon = { light: 'file:../icons/cams.svg', dark: 'file:../icons/cams.dark.svg' };

	documentationUrl =
		'https://github.com/cams-relay/cams-relay/blob/main/n8n-nodes/README.md#credentials';

	properties: INodeProperties[] = [
		{
			displayName: 'Relay URL',
			name: 'relayUrl',
			type: 'string',
			default: '',
			placeholder: 'e.g. https://relay.example.com',
			description: 'URL at which n8n can reach your cams-relay, without a path',
			required: true,
		},
		{
			displayName: 'API Key',
			name: 'apiKey',
			type: 'string',
			typeOptions: { password: true },
			default: '',
			description:
				'An API key of the relay. The trigger requires the scopes subscriptions:write and events:read. Commands require actions:read and actions:write. Deleting everything on a device requires actions:destructive.',
			required: true,
		},
	];

	authenticate: IAuthenticateGeneric = {
		type: 'generic',
		properties: { headers: { Authorization: '=Bearer {{$credentials.apiKey}}' } },
	};

	test: ICredentialTestRequest = {
		request: {
			baseURL: '={{$credentials.relayUrl.replace(/\\/+$/, "")}}',
			url: '/v1/me',
			method: 'GET',
		},
		// n8n accepts both kinds of rules together, but its type separates them.
		rules: [
			{
				type: 'responseCode',
				properties: {
					value: 401,
					message: 'The relay doesn’t know this API key. Copy it again, or create a new one.',
				},
			},
			{
				// Something else answered, for example a web page. The response has none of the relay's fields.
				type: 'responseSuccessBody',
				properties: {
					key: 'scopes',
					value: undefined,
					message: 'There is no cams-relay at this URL. Enter its URL without a path.',
				},
			},
		] as ICredentialTestRequest['rules'],
	};
}
