import {
	NodeApiError,
	NodeConnectionTypes,
	NodeOperationError,
	type IDataObject,
	type IExecuteFunctions,
	type INodeExecutionData,
	type INodeProperties,
	type INodeType,
	type INodeTypeDescription,
	type JsonObject,
} from 'n8n-workflow';

import { catalog, sorted } from '../catalog';
import {
	deviceOptions,
	searchCommands,
	searchDevices,
	searchEmployees,
	searchEvents,
	searchSubscriptions,
	searchUsers,
} from '../pickers';
import { commandOperations, commandProperties } from './commandProperties';
import { runCommands } from './commands';
import { attempt, type Result } from './outcomes';
import { outputProperties } from './output';
import { readOperations, readProperties } from './readProperties';
import { reads } from './reads';

const RESOURCES = [
	{ name: 'Attendance', value: 'attendance' },
	{ name: 'Command', value: 'command' },
	{ name: 'Delivery', value: 'delivery' },
	{ name: 'Device', value: 'device' },
	{ name: 'Employee', value: 'employee' },
	{ name: 'Event', value: 'event' },
	{ name: 'Log', value: 'log' },
	{ name: 'Subscription', value: 'subscription' },
	{ name: 'User', value: 'user' },
] as const;
/** The default operation of a resource, if it isn't the first in its list. */
const USUAL: Record<string, string> = {
	attendance: 'getAll',
	log: 'load-log',
	subscription: 'getAll',
	user: 'add-user',
};

function operations(resource: string): INodeProperties {
	const commands = commandOperations(resource);
	const options = sorted([...commands, ...(readOperations[resource] ?? [])]);
	const operation: INodeProperties = {
		displayName: 'Operation',
		name: 'operation',
		type: 'options',
		noDataExpression: true,
		displayOptions: { show: { resource: [resource] } },
		options,
		default: 'get',
	};
	return resource in USUAL ? { ...operation, default: USUAL[resource] } : operation;
}

export class CamsBiometrics implements INodeType {
	description: INodeTypeDescription = {
		displayName: 'Cams Biometrics',
		name: 'camsBiometrics',
		icon: { light: 'file:../../icons/cams.svg', dark: 'file:../../icons/cams.dark.svg' },
		group: ['transform'],
		version: 1,
		subtitle: '={{$parameter["operation"] + ": " + $parameter["resource"]}}',
		description:
			'Send commands to biometric attendance devices, and read their users, events and punch logs',
		defaults: { name: 'Cams Biometrics' },
		inputs: [NodeConnectionTypes.Main],
		outputs: [NodeConnectionTypes.Main],
		usableAsTool: true,
		credentials: [{ name: 'camsRelayApi', required: true }],
		properties: [
			{
				displayName: 'Resource',
				name: 'resource',
				type: 'options',
				noDataExpression: true,
				options: RESOURCES.map(({ name, value }) => ({ name, value })),
				default: 'user',
			},
			...RESOURCES.map(({ value }) => operations(value)),
			...readProperties,
			...outputProperties(),
			...commandProperties(),
		],
	};

	methods = {
		loadOptions: { deviceOptions },
		listSearch: {
			searchCommands,
			searchDevices,
			searchEmployees,
			searchEvents,
			searchSubscriptions,
			searchUsers,
		},
	};

	async execute(this: IExecuteFunctions): Promise<INodeExecutionData[][]> {
		const resource = this.getNodeParameter('resource', 0) as string;
		const operation = this.getNodeParameter('operation', 0) as string;
		const output: INodeExecutionData[] = [];
		for (const result of await resultsOf.call(this, resource, operation)) {
			const { itemIndex, outcome } = result;
			const pairedItem = { item: itemIndex };
			if (outcome instanceof Error) {
				if (!this.continueOnFail()) throw shown.call(this, outcome, result);
				output.push({ json: failure.call(this, outcome, result), pairedItem });
			} else {
				output.push(...outcome.map((item) => ({ ...item, pairedItem })));
			}
		}
		return [output];
	}
}

/** Runs the operation for all items. Unless the node continues on errors, nothing is started after the first error. */
async function resultsOf(
	this: IExecuteFunctions,
	resource: string,
	operation: string,
): Promise<Result[]> {
	const read = reads[resource]?.[operation];
	if (read) {
		const results: Result[] = [];
		for (let itemIndex = 0; itemIndex < this.getInputData().length; itemIndex++) {
			const outcome = await attempt(async () => await read.call(this, itemIndex));
			results.push({ itemIndex, outcome });
			if (outcome instanceof Error && !this.continueOnFail()) break;
		}
		return results;
	}
	const action = catalog.actions.find(
		({ name, subject }) => name === operation && subject === resource,
	);
	if (action) return await runCommands.call(this, action);
	throw new NodeOperationError(this.getNode(), `${resource} has no operation ${operation}`);
}

/** Returns the error as n8n shows it. If the item has several devices, it names the one that it is about. */
function shown(this: IExecuteFunctions, error: Error, { itemIndex, device }: Result): Error {
	const known =
		error instanceof NodeApiError || error instanceof NodeOperationError
			? error
			: new NodeApiError(this.getNode(), error as unknown as JsonObject, { itemIndex });
	if (device) {
		known.description = [known.description, `Device: ${device}`].filter(Boolean).join('\n');
	}
	return known;
}

/**
 * Returns the JSON that replaces the result of a failed item if the node continues on errors. n8n sends an item to the
 * error output, together with its input, if its JSON has no fields besides `error`, `message` and `details`.
 */
function failure(this: IExecuteFunctions, error: Error, { device }: Result): IDataObject {
	const { description, httpCode } = error as Partial<NodeApiError>;
	const status = httpCode ? Number(httpCode) : undefined;
	const about = { ...(status && { status }), ...(device && { device_id: device }) };
	if (this.getNode().onError === 'continueErrorOutput') {
		return {
			error: error.message,
			...(description && { message: description }),
			...((status || device) && { details: about }),
		};
	}
	return { error: error.message, ...(description && { description }), ...about };
}
