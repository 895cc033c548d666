import type {
	IDataObject,
	ILoadOptionsFunctions,
	INodeListSearchResult,
	INodePropertyOptions,
} from 'n8n-workflow';

import { list } from './relay';

function device(row: IDataObject): INodePropertyOptions {
	const id = row.device_id as string;
	return { name: row.label ? `${row.label as string} (${id})` : id, value: id };
}

function user(row: IDataObject): INodePropertyOptions {
	const id = row.user_id as string;
	return { name: row.full_name ? `${row.full_name as string} (${id})` : id, value: id };
}

function found(options: INodePropertyOptions[], filter = ''): INodeListSearchResult {
	const wanted = filter.toLowerCase();
	const unique = new Map(options.map((option) => [option.value, option]));
	return {
		results: [...unique.values()].filter(({ name }) => name.toLowerCase().includes(wanted)),
	};
}

export async function deviceOptions(this: ILoadOptionsFunctions): Promise<INodePropertyOptions[]> {
	return (await list.call(this, '/v1/devices')).map(device);
}

export async function searchDevices(
	this: ILoadOptionsFunctions,
	filter?: string,
): Promise<INodeListSearchResult> {
	return found((await list.call(this, '/v1/devices')).map(device), filter);
}

/** Returns the users reported by the selected device, or by all devices if none is selected. */
export async function searchUsers(
	this: ILoadOptionsFunctions,
	filter?: string,
): Promise<INodeListSearchResult> {
	const chosen = this.getCurrentNodeParameter('deviceId', { extractValue: true }) as
		| string
		| undefined;
	const rows = await list.call(this, '/v1/users', chosen ? { device_id: chosen } : {});
	return found(rows.map(user), filter);
}
