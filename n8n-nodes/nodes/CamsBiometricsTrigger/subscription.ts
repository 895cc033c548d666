import type { IDataObject, IHookFunctions, IWebhookFunctions } from 'n8n-workflow';

import { call } from '../relay';

const SUBSCRIPTIONS = '/v1/subscriptions';
const GONE = 404;
/** How long the subscription of a test in the editor lasts, in seconds. n8n listens for two minutes. */
const TEST_SECONDS = 600;

/** The data that the node stores about its subscription. */
export interface Kept extends IDataObject {
	id?: string;
	secret?: string;
}

/** A test in the editor has separate static data, so there can be two subscriptions at the same time. */
export function kept(this: IHookFunctions | IWebhookFunctions): Kept {
	return this.getWorkflowStaticData('node') as Kept;
}

function forget(found: Kept): void {
	delete found.id;
	delete found.secret;
}

/** Returns the request body for the subscription, from the node's parameters. */
export function wanted(this: IHookFunctions): IDataObject {
	const options = this.getNodeParameter('options', {}) as IDataObject;
	return {
		target_url: this.getNodeWebhookUrl('default'),
		event_types: this.getNodeParameter('events'),
		filters: {
			device_ids: this.getNodeParameter('deviceIds', []),
			user_ids: userIds.call(this),
			punch_types: this.getNodeParameter('punchTypes', []),
		},
		description: `n8n: ${this.getWorkflow().name ?? 'workflow'}, ${this.getNode().name}`.slice(
			0,
			500,
		),
		batch_max: options.batchMax ?? 50,
		batch_wait_ms: options.batchWaitMs ?? 250,
		max_in_flight: options.maxInFlight ?? 16,
		include_card_numbers: options.includeCardNumbers ?? false,
	};
}

/** Returns the users that were picked from the list, and those in the text with commas, each once. */
function userIds(this: IHookFunctions): string[] {
	const { user: picked = [] } = this.getNodeParameter('users', {}, { extractValue: true }) as {
		user?: Array<{ userId: unknown }>;
	};
	const listed = this.getNodeParameter('userIds', '') as unknown;
	const typed = Array.isArray(listed) ? listed : String(listed ?? '').split(',');
	const ids = [...picked.map(({ userId }) => valueOf(userId)), ...typed];
	return [...new Set(ids.map((id) => String(id ?? '').trim()).filter(Boolean))];
}

/** Returns the value of a resource locator. n8n extracts it only if it isn't within a collection. */
function valueOf(given: unknown): unknown {
	return typeof given === 'object' && given !== null && 'value' in given ? given.value : given;
}

/**
 * Returns whether the subscription exists, and updates it to the node's current parameters. Waiting deliveries are kept.
 * The secret is rotated, because somebody may have rotated it in the relay. The old one stays valid for a day.
 */
export async function exists(this: IHookFunctions): Promise<boolean> {
	const found = kept.call(this);
	if (!found.id || !found.secret) return false;
	const path = `${SUBSCRIPTIONS}/${found.id}`;
	const { status, body } = await call.call(this, 'PATCH', path, {
		body: wanted.call(this),
		also: [GONE],
	});
	if (status === GONE) {
		forget(found);
		return false;
	}
	const { body: rotated } = await call.call(this, 'POST', `${path}/rotate-secret`);
	found.secret = rotated.secret as string;
	if (body.status === 'disabled') await call.call(this, 'POST', `${path}/enable`);
	return true;
}

export async function subscribe(this: IHookFunctions): Promise<boolean> {
	const isTest = this.getMode() === 'manual';
	const { body } = await call.call(this, 'POST', SUBSCRIPTIONS, {
		body: { ...wanted.call(this), ...(isTest && { expires_in: TEST_SECONDS }) },
	});
	const path = `${SUBSCRIPTIONS}/${body.id as string}`;
	// The relay doesn't show the secret of a subscription that already existed.
	const { secret } = body.secret
		? body
		: (await call.call(this, 'POST', `${path}/rotate-secret`)).body;
	Object.assign(kept.call(this), { id: body.id, secret });
	const seconds = (this.getNodeParameter('options', {}) as IDataObject).sampleAfter ?? 15;
	if (isTest && seconds) {
		await call.call(this, 'POST', `${path}/test`, {
			body: { delay_seconds: seconds },
		});
	}
	return true;
}

/** Unsubscribes. Throws if the relay can't be reached. The next activation then finds the subscription again. */
export async function unsubscribe(this: IHookFunctions): Promise<boolean> {
	const found = kept.call(this);
	if (found.id) await call.call(this, 'DELETE', `${SUBSCRIPTIONS}/${found.id}`, { also: [GONE] });
	forget(found);
	return true;
}
