import type { INodeProperties, INodePropertyOptions } from 'n8n-workflow';

import { catalog, eventOptions, sorted } from '../catalog';
import { devicePicker, picker, userPicker } from './fields';
import { deliveryOperations, deliveryProperties } from './deliveryProperties';
import { peopleOperations, peopleProperties } from './peopleProperties';
import { deviceFilter, fileField, filters, shown } from './shownFor';

/** Parameters of the operations that read from the relay, without a command to a device. */
export const readOperations: Record<string, INodePropertyOptions[]> = {
	...peopleOperations,
	...deliveryOperations,
	command: [
		{
			name: 'Cancel',
			value: 'cancel',
			action: 'Cancel command',
			description: 'Cancel a command that has not been sent yet, or stop waiting for its result',
		},
		{
			name: 'Get',
			value: 'get',
			action: 'Get command',
			description: 'Get the status and result of a command',
		},
		{
			name: 'Get Many',
			value: 'getAll',
			action: 'Get many commands',
			description: 'Get commands and who sent them, newest first',
		},
	],
	device: [
		{
			name: 'Get',
			value: 'get',
			action: 'Get device',
			description: 'Get a device with its counters and when it was last seen',
		},
		{
			name: 'Get Many',
			value: 'getAll',
			action: 'Get many devices',
			description: 'Get the devices registered with the relay',
		},
	],
	event: [
		{ name: 'Get', value: 'get', action: 'Get event', description: 'Get an event by its ID' },
		{
			name: 'Get Many',
			value: 'getAll',
			action: 'Get many events',
			description: 'Get events stored by the relay, newest first',
		},
		{
			name: 'Get Photo',
			value: 'getPhoto',
			action: 'Get event photo',
			description: 'Get the photo of an Attendance Photo event as a binary file',
		},
	],
	user: [
		{
			name: 'Get',
			value: 'get',
			action: 'Get user',
			description: 'Get a user as reported by each device',
		},
		{
			name: 'Get Credential',
			value: 'getCredential',
			action: 'Get user credential',
			description:
				'Get a card number, PIN, template or photo of a user. The API key requires the scope templates:read, and each read is recorded in the relay’s audit log.',
		},
		{
			name: 'Get Many',
			value: 'getAll',
			action: 'Get many users',
			description: 'Get the users reported by devices, one row per user and device',
		},
	],
};

const LISTS = Object.keys(readOperations);

export const readProperties: INodeProperties[] = [
	...peopleProperties,
	...deliveryProperties,
	picker(
		'Command',
		'commandId',
		'searchCommands',
		'The command that was sent to a device',
		'e.g. cmd_004h3gw8x2m1k6p9r5t7v3y2b1',
		shown('command', 'get', 'cancel').show,
	),
	picker(
		'Event',
		'eventId',
		'searchEvents',
		'The event that the relay stored',
		'e.g. evt_01kay8ds0r000000',
		shown('event', 'get', 'getPhoto').show,
	),
	fileField(
		'The name of the output binary field to put the photo in',
		shown('event', 'getPhoto').show,
	),
	devicePicker(shown('device', 'get').show),
	devicePicker(shown('user', 'getCredential').show),
	userPicker(shown('user', 'get', 'getCredential').show),
	{
		displayName: 'Credential',
		name: 'credentialType',
		type: 'options',
		options: sorted(catalog.credentials.map(({ type, label }) => ({ name: label, value: type }))),
		default: 'card',
		description: 'The credential type',
		displayOptions: shown('user', 'getCredential'),
	},
	{
		displayName: 'Index',
		name: 'credentialIndex',
		type: 'number',
		typeOptions: { minValue: 0, numberPrecision: 0 },
		default: 0,
		description: 'The credential’s index, such as which finger, or 0 if there is only one',
		displayOptions: shown('user', 'getCredential'),
	},
	{
		displayName: 'Return All',
		name: 'returnAll',
		type: 'boolean',
		default: false,
		description: 'Whether to return all results or only up to a given limit',
		displayOptions: { show: { resource: LISTS, operation: ['getAll'] } },
	},
	{
		displayName: 'Limit',
		name: 'limit',
		type: 'number',
		typeOptions: { minValue: 1 },
		default: 50,
		description: 'Max number of results to return',
		displayOptions: { show: { resource: LISTS, operation: ['getAll'], returnAll: [false] } },
	},
	filters('command', [
		deviceFilter,
		{
			displayName: 'Status',
			name: 'status',
			type: 'options',
			options: [
				{ name: 'Cancelled', value: 'cancelled' },
				{ name: 'Completed', value: 'completed' },
				{ name: 'Failed', value: 'failed' },
				{ name: 'Queued', value: 'queued' },
				{ name: 'Sending', value: 'sending' },
				{ name: 'Unknown', value: 'unknown' },
				{ name: 'Waiting', value: 'waiting' },
			],
			default: 'completed',
			description: 'Only commands with this status',
		},
	]),
	filters('event', [
		deviceFilter,
		{
			displayName: 'Received Since',
			name: 'since',
			type: 'dateTime',
			default: '',
			description: 'Only events that the relay received at this time or later',
		},
		{
			displayName: 'Received Until',
			name: 'until',
			type: 'dateTime',
			default: '',
			description: 'Only events that the relay received at this time or earlier',
		},
		{
			displayName: 'Types',
			name: 'type',
			type: 'multiOptions',
			options: eventOptions(),
			default: [],
			description: 'Only events of these types',
		},
		{
			displayName: 'User ID',
			name: 'user_id',
			type: 'string',
			default: '',
			description: 'Only events about this user',
		},
	]),
	filters('user', [deviceFilter]),
];
