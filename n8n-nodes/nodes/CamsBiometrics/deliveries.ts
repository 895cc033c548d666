import type { IDataObject, IExecuteFunctions, INodeExecutionData } from 'n8n-workflow';

import { call } from '../relay';
import { idempotencyKey } from './idempotency';
import { chosenFields } from './output';
import { get, getAll, path, text, type Read } from './reading';

async function retry(this: IExecuteFunctions, itemIndex: number): Promise<INodeExecutionData[]> {
	const target = path.call(this, 'delivery', 'deliveryId', itemIndex);
	const { body } = await call.call(this, 'POST', `${target}/retry`, { itemIndex });
	return [{ json: chosenFields.call(this, 'delivery', body, itemIndex) }];
}

async function replay(this: IExecuteFunctions, itemIndex: number): Promise<INodeExecutionData[]> {
	const target = `${path.call(this, 'subscription', 'subscriptionId', itemIndex)}/replay`;
	const wanted: IDataObject =
		this.getNodeParameter('replayBy', itemIndex) === 'ids'
			? { event_ids: ids(this.getNodeParameter('eventIds', itemIndex)) }
			: timeRange.call(this, itemIndex);
	const key = idempotencyKey.call(this, target, wanted, itemIndex);
	const { body } = await call.call(this, 'POST', target, {
		body: wanted,
		headers: { 'Idempotency-Key': key },
		itemIndex,
	});
	return [{ json: body }];
}

function timeRange(this: IExecuteFunctions, itemIndex: number): IDataObject {
	const until = text.call(this, 'until', itemIndex);
	return { since: text.call(this, 'since', itemIndex), ...(until && { until }) };
}

function ids(given: unknown): string[] {
	const listed = Array.isArray(given) ? given : String(given ?? '').split(',');
	return listed.map((id) => String(id).trim()).filter(Boolean);
}

/** The operations on subscriptions and their deliveries. */
export const deliveries: Record<string, Record<string, Read>> = {
	delivery: {
		get: get('delivery', 'deliveryId'),
		getAll: getAll('delivery', function (itemIndex) {
			return { path: `${path.call(this, 'subscription', 'subscriptionId', itemIndex)}/deliveries` };
		}),
		retry,
	},
	subscription: {
		get: get('subscription', 'subscriptionId'),
		getAll: getAll('subscription'),
		replay,
	},
};
