import type { INodeProperties, INodePropertyOptions } from 'n8n-workflow';

import { camel, catalog, described, type Action, type Field } from '../catalog';
import { fileParameters, parameters } from './fields';

/** The action that accepts any credentials. The others accept only those in their name. */
export const ADD_ANY = 'add-user';

/** Returns the action's fields for a type of credential: its data and, if it has one, its index. */
export function fieldsOf(action: Action, credential: { type: string; data: string }): Field[] {
	return action.fields.filter(
		({ name }) => name === credential.data || name === `${credential.type}_index`,
	);
}

export function commandOperations(subject: string): INodePropertyOptions[] {
	return catalog.actions
		.filter((action) => action.subject === subject)
		.map((action) => ({
			name: action.label,
			value: action.name,
			action: action.summary.replace(/, /g, ' and '), // n8n's list of actions has no commas
			description: described(action.description),
		}));
}

/** Returns the parameters of all actions. Each is shown for its operation. */
export function commandProperties(): INodeProperties[] {
	return [...catalog.actions.flatMap(propertiesOf), ...options()];
}

function propertiesOf(action: Action): INodeProperties[] {
	const show = { resource: [action.subject], operation: [action.name] };
	const inCredentials =
		action.name === ADD_ANY
			? catalog.credentials.flatMap((credential) => fieldsOf(action, credential))
			: [];
	const optional = action.fields.filter(
		(field) => !field.required && !inCredentials.includes(field),
	);
	return [
		...action.fields.filter((field) => field.required).flatMap((field) => parameters(field, show)),
		...(inCredentials.length > 0 ? [credentialsProperty(action, show)] : []),
		...(optional.length > 0
			? [
					{
						displayName: 'Additional Fields',
						name: 'additionalFields',
						type: 'collection' as const,
						placeholder: 'Add Field',
						default: {},
						displayOptions: { show },
						options: sorted(optional.flatMap((field) => parameters(field))),
					},
				]
			: []),
		...(action.name === 'load-log' ? [splitLogs(show)] : []),
	];
}

function sorted(properties: INodeProperties[]): INodeProperties[] {
	return properties.sort((a, b) => a.displayName.localeCompare(b.displayName));
}

function credentialsProperty(action: Action, show: Record<string, string[]>): INodeProperties {
	return {
		displayName: 'Credentials',
		name: 'credentials',
		type: 'fixedCollection',
		placeholder: 'Add Credential',
		default: {},
		description:
			'How users identify themselves at the device. If you add none, credentials can be enrolled at the device later.',
		displayOptions: { show },
		options: catalog.credentials
			.filter((credential) => fieldsOf(action, credential).length > 0)
			.map((credential) => ({
				displayName: credential.label,
				name: camel(credential.type),
				values: fieldsOf(action, credential).flatMap((field) => {
					if (field.kind === 'file') {
						return fileParameters(field, { source: 'source', binary: 'binary', data: 'data' });
					}
					return parameters(field).map((property) =>
						field.kind === 'index' ? { ...property, name: 'index' } : property,
					);
				}),
			})),
	};
}

function splitLogs(show: Record<string, string[]>): INodeProperties {
	return {
		displayName: 'Split Into Items',
		name: 'splitLogs',
		type: 'boolean',
		default: true,
		description:
			'Whether to output one item per punch instead of one item with a list of all punches',
		displayOptions: { show },
	};
}

function options(): INodeProperties[] {
	const subjects = [...new Set(catalog.actions.map(({ subject }) => subject))];
	const show = { resource: subjects, operation: catalog.actions.map(({ name }) => name) };
	return [
		{
			displayName: 'Options',
			name: 'options',
			type: 'collection',
			placeholder: 'Add Option',
			default: {},
			displayOptions: { show },
			options: [
				{
					displayName: 'Additional Device Names or IDs',
					name: 'moreDevices',
					type: 'multiOptions',
					typeOptions: { loadOptionsMethod: 'deviceOptions' },
					default: [],
					description:
						'More devices that each item’s command is sent to. Choose from the list, or specify IDs using an <a href="https://docs.n8n.io/code/expressions/">expression</a>.',
				},
				{
					displayName: 'Idempotency Key',
					name: 'idempotencyKey',
					type: 'string',
					default: '',
					description:
						'A text that you choose. Within a day, a command with the same text is not carried out twice on a device. If empty, it is made from the execution, node and item, so that Retry On Fail repeats no command.',
				},
				{
					displayName: 'Wait at Most (Seconds)',
					name: 'maxWait',
					type: 'number',
					typeOptions: { minValue: 1 },
					default: 30,
					description:
						'How long to wait for each result. A command that has not ended by then, or whose device is offline, is output with its status. The relay continues with it for up to a day.',
				},
				{
					displayName: 'Wait for Result',
					name: 'waitForResult',
					type: 'boolean',
					default: true,
					description: 'Whether to wait until the device has carried out the command',
				},
			],
		},
	];
}
