import {
	NodeOperationError,
	type IDataObject,
	type IExecuteFunctions,
	type INodeExecutionData,
} from 'n8n-workflow';

import { call, list } from '../relay';
import { chosenFields } from './output';

export type Read = (this: IExecuteFunctions, itemIndex: number) => Promise<INodeExecutionData[]>;

const PATHS: Record<string, string> = {
	attendance: '/v1/attendance',
	command: '/v1/commands',
	delivery: '/v1/deliveries',
	device: '/v1/devices',
	employee: '/v1/employees',
	event: '/v1/events',
	subscription: '/v1/subscriptions',
	user: '/v1/users',
};

export function text(this: IExecuteFunctions, name: string, itemIndex: number): string {
	return String(this.getNodeParameter(name, itemIndex, '', { extractValue: true }) ?? '').trim();
}

/** Returns the path of one resource. An empty ID is an error, because the path would be that of the list. */
export function path(
	this: IExecuteFunctions,
	resource: string,
	name: string,
	itemIndex: number,
): string {
	const id = text.call(this, name, itemIndex);
	if (!id) {
		throw new NodeOperationError(this.getNode(), `The ID of the ${resource} is empty`, {
			itemIndex,
		});
	}
	return `${PATHS[resource]}/${encodeURIComponent(id)}`;
}

/** Returns the operation that reads a resource by the ID in a parameter. */
export function get(
	resource: string,
	name: string,
	query: (this: IExecuteFunctions, itemIndex: number) => IDataObject = () => ({}),
): Read {
	return async function (itemIndex) {
		const { body } = await call.call(this, 'GET', path.call(this, resource, name, itemIndex), {
			qs: query.call(this, itemIndex),
			itemIndex,
		});
		return [{ json: chosenFields.call(this, resource, body, itemIndex) }];
	};
}

/** Returns the operation that reads a list. `where` returns the path, if it isn't the resource's, and its query. */
export function getAll(
	resource: string,
	where: (
		this: IExecuteFunctions,
		itemIndex: number,
	) => { path?: string; qs?: IDataObject } = () => ({}),
): Read {
	return async function (itemIndex) {
		const limit = (this.getNodeParameter('returnAll', itemIndex) as boolean)
			? Infinity
			: (this.getNodeParameter('limit', itemIndex) as number);
		const { path: listed = PATHS[resource], qs } = where.call(this, itemIndex);
		const query = { ...qs, ...filters.call(this, itemIndex) };
		const rows = await list.call(this, listed, query, limit, itemIndex);
		return rows.map((row) => ({ json: chosenFields.call(this, resource, row, itemIndex) }));
	};
}

/** Returns the query for the parameter Filters, without empty filters. */
export function filters(this: IExecuteFunctions, itemIndex: number): IDataObject {
	const chosen = this.getNodeParameter('filters', itemIndex, {}) as IDataObject;
	const given = Object.entries(chosen).filter(([, value]) => value !== '' && value !== null);
	return Object.fromEntries(
		given.map(([name, value]) => [
			name,
			Array.isArray(value) ? value.join(',') || undefined : value,
		]),
	);
}
