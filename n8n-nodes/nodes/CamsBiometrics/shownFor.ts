import type { INodeProperties } from 'n8n-workflow';

/** Returns the rule that shows a parameter for some operations of a resource. */
export function shown(
	resource: string,
	...operation: string[]
): { show: Record<string, string[]> } {
	return { show: { resource: [resource], operation } };
}

/** Returns the parameter Filters, whose names are those of the API's query parameters. */
export function filters(
	resource: string,
	options: INodeProperties[],
	...operations: string[]
): INodeProperties {
	return {
		displayName: 'Filters',
		name: 'filters',
		type: 'collection',
		placeholder: 'Add Filter',
		default: {},
		displayOptions: shown(resource, ...(operations.length > 0 ? operations : ['getAll'])),
		options,
	};
}

export const deviceFilter: INodeProperties = {
	displayName: 'Device Name or ID',
	name: 'device_id',
	type: 'options',
	typeOptions: { loadOptionsMethod: 'deviceOptions' },
	default: '',
	description:
		'Choose from the list, or specify an ID using an <a href="https://docs.n8n.io/code/expressions/">expression</a>',
};

/** Returns the parameter for the name of an output field with a file. */
export function fileField(hint: string, show: Record<string, string[]>): INodeProperties {
	return {
		displayName: 'Put Output File in Field',
		name: 'binaryPropertyName',
		type: 'string',
		default: 'data',
		required: true,
		hint,
		displayOptions: { show },
	};
}
