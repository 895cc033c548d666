import type { IDataObject, IExecuteFunctions } from 'n8n-workflow';

/** The most important fields of each resource that has more than ten. Of an event, those that its type has. */
export const SIMPLE_FIELDS: Record<string, string[]> = {
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
};

/** Returns the fields of a row that the parameter Output asks for. */
export function chosenFields(
	this: IExecuteFunctions,
	resource: string,
	row: IDataObject,
	itemIndex: number,
): IDataObject {
	if (!(resource in SIMPLE_FIELDS)) return row;
	const output = this.getNodeParameter('output', itemIndex, 'simplified') as string;
	if (output === 'raw') return row;
	const names =
		output === 'selected'
			? String(this.getNodeParameter('outputFields', itemIndex, ''))
					.split(',')
					.map((name) => name.trim())
			: SIMPLE_FIELDS[resource];
	return Object.fromEntries(names.filter((name) => name in row).map((name) => [name, row[name]]));
}
