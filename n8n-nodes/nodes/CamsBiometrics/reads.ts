import {
	NodeOperationError,
	type IDataObject,
	type IExecuteFunctions,
	type INodeExecutionData,
} from 'n8n-workflow';

import { call, download, list } from '../relay';
import { chosenFields } from './output';

type Read = (this: IExecuteFunctions, itemIndex: number) => Promise<INodeExecutionData[]>;

const PATHS: Record<string, string> = {
	command: '/v1/commands',
	device: '/v1/devices',
	event: '/v1/events',
	user: '/v1/users',
};

function text(this: IExecuteFunctions, name: string, itemIndex: number): string {
	return String(this.getNodeParameter(name, itemIndex, '', { extractValue: true }) ?? '').trim();
}

/** Returns the path of one resource. An empty ID is an error, because the path would be that of the list. */
function path(this: IExecuteFunctions, resource: string, name: string, itemIndex: number): string {
	const id = text.call(this, name, itemIndex);
	if (!id) {
		throw new NodeOperationError(this.getNode(), `The ID of the ${resource} is empty`, {
			itemIndex,
		});
	}
	return `${PATHS[resource]}/${encodeURIComponent(id)}`;
}

function get(resource: string, name: string): Read {
	return async function (itemIndex) {
		const { body } = await call.call(this, 'GET', path.call(this, resource, name, itemIndex), {
			itemIndex,
		});
		return [{ json: chosenFields.call(this, resource, body, itemIndex) }];
	};
}

function getAll(resource: string): Read {
	return async function (itemIndex) {
		const limit = (this.getNodeParameter('returnAll', itemIndex) as boolean)
			? Infinity
			: (this.getNodeParameter('limit', itemIndex) as number);
		const filters = this.getNodeParameter('filters', itemIndex, {}) as IDataObject;
		const rows = await list.call(this, PATHS[resource], query(filters), limit, itemIndex);
		return rows.map((row) => ({ json: chosenFields.call(this, resource, row, itemIndex) }));
	};
}

function query(filters: IDataObject): IDataObject {
	const given = Object.entries(filters).filter(([, value]) => value !== '' && value !== null);
	return Object.fromEntries(
		given.map(([name, value]) => [
			name,
			Array.isArray(value) ? value.join(',') || undefined : value,
		]),
	);
}

async function getPhoto(this: IExecuteFunctions, itemIndex: number): Promise<INodeExecutionData[]> {
	const name = this.getNodeParameter('binaryPropertyName', itemIndex) as string;
	const { body: event } = await call.call(
		this,
		'GET',
		path.call(this, 'event', 'eventId', itemIndex),
		{
			itemIndex,
		},
	);
	if (!event.photo_url) {
		throw new NodeOperationError(this.getNode(), `Event ${event.id as string} has no photo`, {
			description: `Its type is ${event.type as string}. Only attendance.photo events have photos.`,
			itemIndex,
		});
	}
	return [{ json: event, binary: { [name]: await photo.call(this, event) } }];
}

async function photo(this: IExecuteFunctions, event: IDataObject) {
	const content = await download.call(this, event.photo_url as string);
	const mime = event.photo_mime as string;
	return await this.helpers.prepareBinaryData(
		content,
		`${event.id as string}.${mime.split('/')[1]}`,
		mime,
	);
}

async function getCredential(
	this: IExecuteFunctions,
	itemIndex: number,
): Promise<INodeExecutionData[]> {
	const kind = this.getNodeParameter('credentialType', itemIndex) as string;
	const index = this.getNodeParameter('credentialIndex', itemIndex) as number;
	const { body } = await call.call(
		this,
		'GET',
		`${path.call(this, 'user', 'userId', itemIndex)}/credentials/${kind}/${index}`,
		{ qs: { device_id: text.call(this, 'deviceId', itemIndex) }, itemIndex },
	);
	return [{ json: body }];
}

async function cancel(this: IExecuteFunctions, itemIndex: number): Promise<INodeExecutionData[]> {
	const target = path.call(this, 'command', 'commandId', itemIndex);
	const { body } = await call.call(this, 'POST', `${target}/cancel`, { itemIndex });
	return [{ json: body }];
}

/** The operations that read from the relay, by resource and name. */
export const reads: Record<string, Record<string, Read>> = {
	command: { cancel, get: get('command', 'commandId'), getAll: getAll('command') },
	device: { get: get('device', 'deviceId'), getAll: getAll('device') },
	event: { get: get('event', 'eventId'), getAll: getAll('event'), getPhoto },
	user: { get: get('user', 'userId'), getAll: getAll('user'), getCredential },
};
