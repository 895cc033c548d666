import type {
	IDataObject,
	IExecuteFunctions,
	INodeProperties,
	INodePropertyOptions,
} from 'n8n-workflow';

import { catalog, sorted } from '../catalog';

/** The most important fields of each resource that has more than ten. Of an event, those that its type has. */
export const SIMPLE_FIELDS: Record<string, string[]> = {
	attendance: [
		'date',
		'user_id',
		'user_name',
		'employee_id',
		'first_in',
		'last_out',
		'worked_hours',
		'punch_count',
		'missing_punch',
		'is_late',
	],
	command: [
		'command_id',
		'action',
		'device_id',
		'user_id',
		'status',
		'status_code',
		'message',
		'requested_by',
		'created_at',
		'ended_at',
	],
	delivery: [
		'id',
		'subscription_id',
		'status',
		'event_id',
		'event_type',
		'event_count',
		'attempt_count',
		'response_status',
		'error',
		'last_attempt_at',
	],
	device: [
		'device_id',
		'label',
		'serial_number',
		'mode',
		'timezone',
		'last_seen_at',
		'silent_since',
		'callbacks',
		'events',
		'refused_callbacks',
	],
	event: [
		'id',
		'type',
		'occurred_at',
		'device_id',
		'device_label',
		'user_id',
		'user_name',
		'full_name',
		'punch_type',
		'direction',
		'input_type',
		'credential_type',
		'photo_url',
		'command_id',
		'action',
		'status',
		'message',
		'body_url',
		'reason',
	],
	subscription: [
		'id',
		'target_url',
		'event_types',
		'description',
		'status',
		'pending',
		'retrying',
		'dead',
		'delivered',
		'failing_since',
	],
};
/** The operations whose results are simplified. */
const OPERATIONS: Record<string, string[]> = {
	attendance: ['getAll', 'getMonth'],
	delivery: ['get', 'getAll', 'retry'],
};
const USUAL = ['get', 'getAll'];
/** The field that identifies a result. It is always returned. */
const ID: Record<string, string> = { attendance: 'user_id' };

/** Returns all fields of a resource but its ID, as the choices of a parameter. */
function choices(resource: string): INodePropertyOptions[] {
	const fields =
		resource === 'event'
			? catalog.events.flatMap((event) => event.fields)
			: catalog.resources[resource].map(({ value, label }) => ({ name: value, label }));
	const labels = new Map(fields.map(({ name, label }) => [name, label]));
	labels.delete(idOf(resource));
	return sorted([...labels].map(([value, name]) => ({ name, value })));
}

/** Returns the parameter Simplify of the node, and the parameters Output and Fields of the AI tool made from it. */
export function outputProperties(): INodeProperties[] {
	return Object.keys(SIMPLE_FIELDS).flatMap((resource) => {
		const show = { resource: [resource], operation: OPERATIONS[resource] ?? USUAL };
		const properties: INodeProperties[] = [
			{
				displayName: 'Simplify',
				name: 'simplify',
				type: 'boolean',
				default: true,
				description:
					'Whether to return a simplified version of the response instead of the raw data',
				displayOptions: { show, hide: { '@tool': [true] } },
			},
			{
				displayName: 'Output',
				name: 'output',
				type: 'options',
				options: [
					{ name: 'Raw', value: 'raw', description: 'Return all fields' },
					{ name: 'Selected Fields', value: 'selected', description: 'Return only some fields' },
					{
						name: 'Simplified',
						value: 'simplified',
						description: 'Return the most important fields',
					},
				],
				default: 'simplified',
				description: 'Which fields of each result to return',
				displayOptions: { show: { ...show, '@tool': [true] } },
			},
			{
				displayName: 'Fields',
				name: 'outputFields',
				type: 'multiOptions',
				options: choices(resource),
				default: [],
				description: 'The fields to return in addition to the ID',
				displayOptions: { show: { ...show, '@tool': [true], output: ['selected'] } },
			},
		];
		return properties;
	});
}

function idOf(resource: string): string {
	return ID[resource] ?? 'id';
}

/** Returns the fields of a row that the parameter Simplify or, of an AI tool, Output asks for. */
export function chosenFields(
	this: IExecuteFunctions,
	resource: string,
	row: IDataObject,
	itemIndex: number,
): IDataObject {
	if (!(resource in SIMPLE_FIELDS)) return row;
	// n8n shows the parameters with @tool by the same rule.
	const isTool = this.getNode().type.endsWith('Tool');
	const output = isTool
		? (this.getNodeParameter('output', itemIndex, 'simplified') as string)
		: this.getNodeParameter('simplify', itemIndex, true)
			? 'simplified'
			: 'raw';
	if (output === 'raw') return row;
	const names =
		output === 'selected'
			? [idOf(resource), ...(this.getNodeParameter('outputFields', itemIndex, []) as string[])]
			: SIMPLE_FIELDS[resource];
	return Object.fromEntries(names.filter((name) => name in row).map((name) => [name, row[name]]));
}
