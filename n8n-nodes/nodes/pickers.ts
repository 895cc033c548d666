import type {
	IDataObject,
	ILoadOptionsFunctions,
	INodeListSearchResult,
	INodePropertyOptions,
} from 'n8n-workflow';

import { list, page } from './relay';

function device(row: IDataObject): INodePropertyOptions {
	const id = row.device_id as string;
	return { name: row.label ? `${row.label as string} (${id})` : id, value: id };
}

function user(row: IDataObject): INodePropertyOptions {
	const id = row.user_id as string;
	return { name: row.full_name ? `${row.full_name as string} (${id})` : id, value: id };
}

function employee(row: IDataObject): INodePropertyOptions {
	const id = row.user_id as string;
	const about = [row.name, row.employee_id, `user ${id}`].filter(Boolean).join(', ');
	return { name: row.device_id ? `${about} on ${row.device_id as string}` : about, value: id };
}

function event(row: IDataObject): INodePropertyOptions {
	const about = [row.type, row.user_id && `user ${row.user_id as string}`, row.occurred_at];
	const name = about.filter(Boolean).join(', ');
	return { name: `${name} (${row.id as string})`, value: row.id as string };
}

function command(row: IDataObject): INodePropertyOptions {
	const id = row.command_id as string;
	const about = [row.action, row.device_id, row.user_id && `user ${row.user_id as string}`];
	return {
		name: `${about.filter(Boolean).join(', ')}: ${row.status as string} (${id})`,
		value: id,
	};
}

function subscription(row: IDataObject): INodePropertyOptions {
	const id = row.id as string;
	return { name: `${(row.description || row.target_url) as string} (${id})`, value: id };
}

/**
 * Returns the choices of the next page whose names contain the filter. It reads further pages until there is a choice,
 * because the relay's lists can't be searched.
 */
async function search(
	this: ILoadOptionsFunctions,
	path: string,
	qs: IDataObject,
	option: (row: IDataObject) => INodePropertyOptions,
	filter = '',
	cursor?: string,
): Promise<INodeListSearchResult> {
	const wanted = filter.toLowerCase();
	let next = cursor;
	for (;;) {
		const { rows, cursor: after } = await page.call(this, path, { ...qs, cursor: next });
		const unique = new Map(rows.map(option).map((one) => [one.value, one]));
		const results = [...unique.values()].filter(({ name }) => name.toLowerCase().includes(wanted));
		next = after;
		if (results.length > 0 || !next) return { results, paginationToken: next };
	}
}

export async function deviceOptions(this: ILoadOptionsFunctions): Promise<INodePropertyOptions[]> {
	return (await list.call(this, '/v1/devices')).map(device);
}

export async function searchDevices(
	this: ILoadOptionsFunctions,
	filter?: string,
	cursor?: string,
): Promise<INodeListSearchResult> {
	return await search.call(this, '/v1/devices', {}, device, filter, cursor);
}

/** Returns the users reported by the selected devices, or by all devices if none is selected. */
export async function searchUsers(
	this: ILoadOptionsFunctions,
	filter?: string,
	cursor?: string,
): Promise<INodeListSearchResult> {
	// The action node has one of these, and the trigger the other. Extracting the value of one that is missing would throw.
	const device = this.getCurrentNodeParameter('deviceId') as { value?: string } | undefined;
	const devices = this.getCurrentNodeParameter('deviceIds') as string[] | undefined;
	const ids = device?.value ?? (devices ?? []).join(',');
	const qs = ids ? { device_id: ids } : {};
	return await search.call(this, '/v1/users', qs, user, filter, cursor);
}

/** Returns the people in the list of employees. */
export async function searchEmployees(
	this: ILoadOptionsFunctions,
	filter?: string,
	cursor?: string,
): Promise<INodeListSearchResult> {
	return await search.call(this, '/v1/employees', {}, employee, filter, cursor);
}

/** Returns the newest events, or only those with photos for the operation that gets a photo. */
export async function searchEvents(
	this: ILoadOptionsFunctions,
	filter?: string,
	cursor?: string,
): Promise<INodeListSearchResult> {
	const photos = this.getCurrentNodeParameter('operation') === 'getPhoto';
	const qs = photos ? { type: 'attendance.photo' } : {};
	return await search.call(this, '/v1/events', qs, event, filter, cursor);
}

export async function searchCommands(
	this: ILoadOptionsFunctions,
	filter?: string,
	cursor?: string,
): Promise<INodeListSearchResult> {
	return await search.call(this, '/v1/commands', {}, command, filter, cursor);
}

export async function searchSubscriptions(
	this: ILoadOptionsFunctions,
	filter?: string,
	cursor?: string,
): Promise<INodeListSearchResult> {
	return await search.call(this, '/v1/subscriptions', {}, subscription, filter, cursor);
}
