import {
	NodeOperationError,
	sleep,
	type IDataObject,
	type IExecuteFunctions,
	type INodeExecutionData,
} from 'n8n-workflow';

import { camel, catalog, type Action, type Field } from '../catalog';
import { call, type Answer } from '../relay';
import { ADD_ANY, fieldsOf } from './commandProperties';
import { idempotencyKey } from './idempotency';
import { attempt, type Outcome, type Result } from './outcomes';

/** The longest time that one call waits for a result, in seconds. A longer wait takes several calls. */
const LONGEST_CALL = 20;
/** How long the node waits for a result, in seconds, unless the option says otherwise. */
export const USUAL_WAIT = 30;
/** The number of devices whose results the node waits for at the same time. */
const DEVICES_AT_ONCE = 50;
const ACCEPTED = 202;

interface Options {
	waitForResult?: boolean;
	maxWait?: number;
	idempotencyKey?: string;
	moreDevices?: string[];
}

/** A command of one item to one device, and the relay's last answer about it. */
interface Command {
	itemIndex: number;
	/** Whether the item has several devices. */
	isOneOfMany: boolean;
	body: IDataObject;
	key: string;
	seconds: number;
	answer?: Answer;
	outcome?: Outcome;
}

/**
 * Sends the commands of all items in their order, which the relay keeps for each device, and then waits for the results
 * of all devices at the same time. Nothing is sent if an item is wrong, unless the node continues on errors.
 */
export async function runCommands(this: IExecuteFunctions, action: Action): Promise<Result[]> {
	const commands: Command[] = [];
	for (let itemIndex = 0; itemIndex < this.getInputData().length; itemIndex++) {
		const prepared = await attempt(async () => await prepare.call(this, action, itemIndex));
		if (!(prepared instanceof Error)) commands.push(...prepared);
		else if (this.continueOnFail()) {
			const nothing = { isOneOfMany: false, body: {}, key: '', seconds: 0 };
			commands.push({ itemIndex, ...nothing, outcome: prepared });
		} else throw prepared;
	}
	const devices = new Map<unknown, Command[]>();
	for (const command of commands.filter(({ outcome }) => outcome === undefined)) {
		const sent = await attempt(async () => await send.call(this, action, command, 0));
		if (!(sent instanceof Error)) {
			const { device_id: device } = command.body;
			command.answer = sent;
			devices.set(device, [...(devices.get(device) ?? []), command]);
		} else {
			command.outcome = sent;
			if (!this.continueOnFail()) return results(commands);
		}
	}
	const queues = [...devices.values()];
	const waiter = async () => {
		for (let queue = queues.shift(); queue; queue = queues.shift()) {
			await waitInOrder.call(this, action, queue);
		}
	};
	await Promise.all(Array.from({ length: DEVICES_AT_ONCE }, waiter));
	return results(commands);
}

/** Returns the outcomes, without those of commands that weren't sent. */
function results(commands: Command[]): Result[] {
	return commands.flatMap(({ itemIndex, isOneOfMany, body, outcome }) =>
		outcome === undefined
			? []
			: [{ itemIndex, outcome, ...(isOneOfMany && { device: body.device_id as string }) }],
	);
}

async function prepare(
	this: IExecuteFunctions,
	action: Action,
	itemIndex: number,
): Promise<Command[]> {
	const options = this.getNodeParameter('options', itemIndex, {}) as Options;
	const common = await bodyOf.call(this, action, itemIndex);
	const devices = deviceIds(common.device_id, options.moreDevices);
	return devices.map((device) => {
		const body = { ...common, device_id: device };
		const isOneOfMany = devices.length > 1;
		const { idempotencyKey: chosen } = options;
		return {
			itemIndex,
			isOneOfMany,
			body,
			key: chosen
				? `${chosen}${isOneOfMany ? `:${device}` : ''}`
				: idempotencyKey.call(this, action.name, body, itemIndex),
			seconds: options.waitForResult === false ? 0 : (options.maxWait ?? USUAL_WAIT),
		};
	});
}

/** Returns the IDs in a list or in a text with commas, each once. If there is none, the relay says that it is missing. */
function deviceIds(given: unknown, more: string[] = []): string[] {
	const listed = Array.isArray(given) ? given : String(given ?? '').split(',');
	const ids = [...listed, ...more].map((id) => String(id).trim()).filter(Boolean);
	return ids.length > 0 ? [...new Set(ids)] : [''];
}

async function send(
	this: IExecuteFunctions,
	action: Action,
	{ body, key, itemIndex }: Command,
	wait: number,
): Promise<Answer> {
	return await call.call(this, 'POST', `/v1/actions/${action.name}`, {
		body,
		headers: { Prefer: `wait=${wait}`, 'Idempotency-Key': key },
		itemIndex,
	});
}

/**
 * Waits for the commands of one device, one after the other, as the device carries them out. If the device doesn't
 * answer the gateway, the others can't end soon either, so the node doesn't wait for them.
 */
async function waitInOrder(
	this: IExecuteFunctions,
	action: Action,
	commands: Command[],
): Promise<void> {
	let isOffline = false;
	for (const command of commands) {
		command.outcome = await attempt(async () => {
			const { body } = await result.call(this, action, command, isOffline ? 0 : command.seconds);
			isOffline ||= body.status === 'waiting';
			// n8n's own nodes say so in the result of what deletes.
			const isDeleted = action.name.startsWith('delete-') && body.status === 'completed';
			const json = isDeleted ? { deleted: true, ...body } : body;
			return items.call(this, json, command.itemIndex);
		});
	}
}

/** Returns the answer with the result, or the last one if the time is up or the gateway can't reach the device. */
async function result(
	this: IExecuteFunctions,
	action: Action,
	command: Command,
	seconds: number,
): Promise<Answer> {
	let answer = command.answer as Answer;
	const until = Date.now() + 1000 * seconds;
	while (answer.status === ACCEPTED && answer.body.status !== 'waiting') {
		const left = Math.ceil((until - Date.now()) / 1000);
		if (left <= 0 || this.getExecutionCancelSignal()?.aborted) break;
		const wait = Math.min(left, LONGEST_CALL);
		const asked = Date.now();
		// With the same key, this waits for the same command.
		answer = await send.call(this, action, command, wait);
		// If the relay answered early, Retry-After says when to ask again.
		const pause = Number(answer.headers['retry-after']) || 1;
		const isEarly = Date.now() - asked < 1000 * Math.min(wait, pause);
		if (answer.status === ACCEPTED && answer.body.status !== 'waiting' && isEarly) {
			await sleep(Math.max(0, Math.min(1000 * pause, until - Date.now())));
		}
	}
	return answer;
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
	if (field.kind === 'device') {
		return this.getNodeParameter(name, itemIndex, '', { extractValue: true }) as string | string[];
	}
	if (field.kind === 'user') {
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

const DATE = /^\d{4}-\d\d-\d\d$/;

/**
 * Converts a value for the relay. An expression can return a number for an ID, or a Luxon DateTime for a time. A date
 * alone is the beginning of the day or, for the end of a time range, its last second.
 */
function plain(field: Field, value: unknown): IDataObject[string] {
	if (typeof value === 'object' && value !== null && 'toISO' in value) {
		return (value as { toISO(): string }).toISO();
	}
	if (value instanceof Date) return value.toISOString();
	if (field.kind === 'time' && typeof value === 'string' && DATE.test(value.trim())) {
		return `${value.trim()}T${field.name.startsWith('end') ? '23:59:59' : '00:00:00'}`;
	}
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
