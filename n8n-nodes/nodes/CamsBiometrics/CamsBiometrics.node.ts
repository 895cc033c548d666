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
import { deviceOptions, searchDevices, searchUsers } from '../pickers';
import { commandOperations, commandProperties } from './commandProperties';
import { runCommand } from './commands';
import { readOperations, readProperties } from './readProperties';
import { reads } from './reads';

const RESOURCES = [
	{ name: 'Command', value: 'command' },
	{ name: 'Device', value: 'device' },
	{ name: 'Event', value: 'event' },
	{ name: 'Log', value: 'log' },
	{ name: 'User', value: 'user' },
] as const;
/** The default operation of a resource, if it isn't the first in its list. */
const USUAL: Record<string, string> = { log: 'load-log', user: 'add-user' };

function operations(resource: (typeof RESOURCES)[number]['value']): INodeProperties {
	const commands =
		resource === 'command' || resource === 'event' ? [] : commandOperations(resource);
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
			...commandProperties(),
		],
	};

	methods = {
		loadOptions: { deviceOptions },
		listSearch: { searchDevices, searchUsers },
	};

	async execute(this: IExecuteFunctions): Promise<INodeExecutionData[][]> {
		const output: INodeExecutionData[] = [];
		for (let itemIndex = 0; itemIndex < this.getInputData().length; itemIndex++) {
			try {
				const made = await run.call(this, itemIndex);
				output.push(...made.map((item) => ({ ...item, pairedItem: { item: itemIndex } })));
			} catch (error) {
				if (!this.continueOnFail()) throw shown.call(this, error as Error, itemIndex);
				output.push({ json: failure(error as Error), pairedItem: { item: itemIndex } });
			}
		}
		return [output];
	}
}

async function run(this: IExecuteFunctions, itemIndex: number): Promise<INodeExecutionData[]> {
	const resource = this.getNodeParameter('resource', itemIndex) as string;
	const operation = this.getNodeParameter('operation', itemIndex) as string;
	const read = reads[resource]?.[operation];
	if (read) return await read.call(this, itemIndex);
	const action = catalog.actions.find(
		({ name, subject }) => name === operation && subject === resource,
	);
	if (action) return await runCommand.call(this, action, itemIndex);
	throw new NodeOperationError(this.getNode(), `${resource} has no operation ${operation}`, {
		itemIndex,
	});
}

function shown(this: IExecuteFunctions, error: Error, itemIndex: number): Error {
	const known = error instanceof NodeApiError || error instanceof NodeOperationError;
	return known
		? error
		: new NodeApiError(this.getNode(), error as unknown as JsonObject, { itemIndex });
}

/** Returns the item that replaces the result of a failed item if the node continues on errors. */
function failure(error: Error): IDataObject {
	const { description, httpCode } = error as Partial<NodeApiError>;
	return {
		error: error.message,
		...(description && { description }),
		...(httpCode && { status: Number(httpCode) }),
	};
}
