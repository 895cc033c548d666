import type { INodeProperties } from 'n8n-workflow';

import { camel, described, type Field } from '../catalog';

type Show = Record<string, string[]>;

/** Returns a parameter for something that is selected from the relay's list or identified by its ID. */
export function picker(
	displayName: string,
	name: string,
	searchListMethod: string,
	description: string,
	placeholder: string,
	show?: Show,
): INodeProperties {
	return {
		displayName,
		name,
		type: 'resourceLocator',
		default: { mode: 'list', value: '' },
		required: true,
		description,
		...(show && { displayOptions: { show } }),
		modes: [
			{
				displayName: 'From List',
				name: 'list',
				type: 'list',
				typeOptions: { searchListMethod, searchable: true },
			},
			{ displayName: 'By ID', name: 'id', type: 'string', placeholder },
		],
	};
}

export function devicePicker(show: Show): INodeProperties {
	const description = 'The device, as registered with the relay';
	return picker('Device', 'deviceId', 'searchDevices', description, 'e.g. ZHM1100001', show);
}

/** Returns the parameter for the devices of a command, which can be several. */
function devicesPicker(show: Show): INodeProperties {
	const description =
		'The device, as registered with the relay. To send the command to several devices, separate their IDs with commas, or add them under Options.';
	const placeholder = 'e.g. ZHM1100001, ZHM1100002';
	return picker('Device', 'deviceId', 'searchDevices', description, placeholder, show);
}

export function userPicker(show?: Show): INodeProperties {
	const description = 'The user, by the ID on the device';
	return picker('User', 'userId', 'searchUsers', description, 'e.g. 100', show);
}

/** Returns the n8n parameters for a field. A file has three: its source, the binary field, and the data. */
export function parameters(field: Field, show?: Show): INodeProperties[] {
	if (field.kind === 'device') return [devicesPicker(show ?? {})];
	if (field.kind === 'user') return [userPicker(show ?? {})];
	if (field.kind === 'file') {
		const base = camel(field.name.replace(/_data$/, ''));
		return fileParameters(
			field,
			{ source: `${base}Source`, binary: `${base}Binary`, data: `${base}Data` },
			show,
		);
	}
	return [{ ...plain(field), ...(show && { displayOptions: { show } }) }];
}

function plain(field: Field): INodeProperties {
	const common = {
		displayName: field.label,
		name: camel(field.name),
		description: described(field.description),
		...(field.required && { required: true }),
	};
	switch (field.kind) {
		case 'pin':
			return { ...common, type: 'string', typeOptions: { password: true }, default: '' };
		case 'choice':
			return {
				...common,
				type: 'options',
				options: (field.options ?? []).map(({ value, label }) => ({ name: label, value })),
				default: field.options?.[0].value ?? '',
			};
		case 'index':
			return {
				...common,
				type: 'number',
				typeOptions: { minValue: field.minimum, maxValue: field.maximum, numberPrecision: 0 },
				default: 0,
			};
		case 'time':
			return {
				...common,
				type: 'dateTime',
				default: '',
				description: `${field.description} Without a time zone, the device’s is used.`,
			};
		case 'flag':
			return { ...common, type: 'boolean', default: false };
		case 'confirm':
			return {
				...common,
				displayName: 'I Know This Can’t Be Undone',
				type: 'boolean',
				default: false,
				description: 'Whether you confirm this command. It is refused if this is off.',
			};
		default:
			return {
				...common,
				type: 'string',
				default: '',
				placeholder: `e.g. ${String(field.example)}`,
			};
	}
}

/** Returns the parameters for a file, with the given names. */
export function fileParameters(
	field: Field,
	names: { source: string; binary: string; data: string },
	show: Show = {},
): INodeProperties[] {
	const options = (source: string) => ({
		displayOptions: { show: { ...show, [names.source]: [source] } },
	});
	return [
		{
			displayName: `${field.label} From`,
			name: names.source,
			type: 'options',
			options: [
				{ name: 'Binary File', value: 'binary' },
				{ name: 'Base64 Text', value: 'base64' },
			],
			default: 'binary',
			description: `Where the ${field.label.toLowerCase()} comes from`,
			...(Object.keys(show).length > 0 && { displayOptions: { show } }),
		},
		{
			displayName: `${field.label} Binary Field`,
			name: names.binary,
			type: 'string',
			default: 'data',
			required: true,
			hint: 'The name of the input field that contains the file',
			description: described(field.description),
			...options('binary'),
		},
		{
			displayName: field.label,
			name: names.data,
			type: 'string',
			default: '',
			required: true,
			description: described(field.description),
			...options('base64'),
		},
	];
}
