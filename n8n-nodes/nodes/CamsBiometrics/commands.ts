import { randomUUID } from 'crypto';
import {
	NodeOperationError,
	sleep,
	type IDataObject,
	type IExecuteFunctions,
	type INodeExecutionData,
} from 'n8n-workflow';

import { camel, catalog, type Action, type Field } from '../catalog';
import { call } from '../relay';
import { ADD_ANY, fieldsOf } from './commandProperties';

/** The longest time that one call waits for a result, in seconds. A longer wait takes several calls. */
const LONGEST_CALL = 20;
const UNDER_WAY = 202;

interface Options {
	waitForResult?: boolean;
	maxWait?: number;
	idempotencyKey?: string;
}

/** Runs an action for one item and, if requested, waits for its result. */
export async function runCommand(
	this: IExecuteFunctions,
	action: Action,
	itemIndex: number,
): Promise<INodeExecutionData[]> {
	const options = this.getNodeParameter('options', itemIndex, {}) as Options;
	const body = await bodyOf.call(this, action, itemIndex);
	// With the same key, a repeated request continues to wait for the same command.
	const key = options.idempotencyKey || randomUUID();
	const until =
		Date.now() + 1000 * (options.waitForResult === false ? 0 : (options.maxWait ?? 300));
	for (;;) {
		const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
		const wait = Math.min(left, LONGEST_CALL);
		const asked = Date.now();
		const answer = await call.call(this, 'POST', `/v1/actions/${action.name}`, {
			body,
			headers: { Prefer: `wait=${wait}`, 'Idempotency-Key': key },
			itemIndex,
		});
		const stop = Date.now() >= until || this.getExecutionCancelSignal()?.aborted;
		if (answer.status !== UNDER_WAY || stop) return items.call(this, answer.body, itemIndex);
		// If the relay answered early, Retry-After says when to ask again.
		const pause = Number(answer.headers['retry-after']) || 1;
		if (Date.now() - asked < 1000 * Math.min(wait, pause)) {
			await sleep(Math.min(1000 * pause, until - Date.now()));
		}
	}
}

function items(
	this: IExecuteFunctions,
	result: IDataObject,
	itemIndex: number,
): INodeExecutionData[] {
	if (result.logs && (this.getNodeParameter('splitLogs', itemIndex, true) as boolean)) {
		return (result.logs as IDataObject[]).map((json) => ({ json }));
	}
	return [{ json: result }];
}

/** Builds the flat body of an action from the node's parameters, without empty ones. */
export async function bodyOf(
	this: IExecuteFunctions,
	action: Action,
	itemIndex: number,
): Promise<IDataObject> {
	const additional = this.getNodeParameter('additionalFields', itemIndex, {}) as IDataObject;
	const credentials =
		action.name === ADD_ANY
			? (this.getNodeParameter('credentials', itemIndex, {}) as Record<string, IDataObject>)
			: {};
	const body: IDataObject = {};
	for (const field of action.fields) {
		const value = await valueOf.call(this, action, field, { additional, credentials }, itemIndex);
		if (value !== undefined && value !== null && value !== '') body[field.name] = value;
	}
	return body;
}

interface Given {
	additional: IDataObject;
	credentials: Record<string, IDataObject>;
}

async function valueOf(
	this: IExecuteFunctions,
	action: Action,
	field: Field,
	{ additional, credentials }: Given,
	itemIndex: number,
): Promise<IDataObject[string]> {
	const name = camel(field.name);
	const kind = catalog.credentials.find((one) => fieldsOf(action, one).includes(field));
	if (action.name === ADD_ANY && kind) {
		const group = credentials[camel(kind.type)];
		if (!group) return undefined;
		if (field.kind === 'file') return await file.call(this, field, group, itemIndex);
		return plain(field, field.kind === 'index' ? group.index : group[name]);
	}
	if (!field.required) return plain(field, additional[name]);
	if (field.kind === 'device' || field.kind === 'user') {
		return String(this.getNodeParameter(name, itemIndex, '', { extractValue: true }) ?? '').trim();
	}
	if (field.kind === 'file') {
		const base = camel(field.name.replace(/_data$/, ''));
		const source = this.getNodeParameter(`${base}Source`, itemIndex) as string;
		const part = source === 'binary' ? 'Binary' : 'Data';
		const given = this.getNodeParameter(`${base}${part}`, itemIndex) as string;
		return await file.call(this, field, { source, [part.toLowerCase()]: given }, itemIndex);
	}
	const value = this.getNodeParameter(name, itemIndex);
	if (field.kind === 'confirm' && value !== true) {
		throw new NodeOperationError(
			this.getNode(),
			`${action.label} can't be undone and was not confirmed`,
			{
				description: 'Turn on “I Know This Can’t Be Undone”. Nothing was sent to the device.',
				itemIndex,
			},
		);
	}
	return plain(field, value);
}

/** Converts a value for the relay. An expression can return a number for an ID, or a Luxon DateTime for a time. */
function plain(field: Field, value: unknown): IDataObject[string] {
	if (typeof value === 'object' && value !== null && 'toISO' in value) {
		return (value as { toISO(): string }).toISO();
	}
	if (value instanceof Date) return value.toISOString();
	if ((field.kind === 'text' || field.kind === 'pin') && typeof value === 'number')
		return String(value);
	return value as IDataObject[string];
}

async function file(
	this: IExecuteFunctions,
	field: Field,
	{ source, binary, data }: IDataObject,
	itemIndex: number,
): Promise<string> {
	if (source === 'base64') return String(data ?? '').trim();
	this.helpers.assertBinaryData(itemIndex, binary as string);
	return (await this.helpers.getBinaryDataBuffer(itemIndex, binary as string)).toString('base64');
}
