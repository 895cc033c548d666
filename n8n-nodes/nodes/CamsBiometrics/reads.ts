import {
	NodeOperationError,
	type IDataObject,
	type IExecuteFunctions,
	type INodeExecutionData,
} from 'n8n-workflow';

import { call, download } from '../relay';
import { deliveries } from './deliveries';
import { people } from './people';
import { get, getAll, path, text, type Read } from './reading';

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

/** The operations that use the relay's API without sending a command to a device, by resource and name. */
export const reads: Record<string, Record<string, Read>> = {
	...people,
	...deliveries,
	command: { cancel, get: get('command', 'commandId'), getAll: getAll('command') },
	device: { get: get('device', 'deviceId'), getAll: getAll('device') },
	event: { get: get('event', 'eventId'), getAll: getAll('event'), getPhoto },
	user: { get: get('user', 'userId'), getAll: getAll('user'), getCredential },
};
