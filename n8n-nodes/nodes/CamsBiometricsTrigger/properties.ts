import type { INodeProperties } from 'n8n-workflow';

import { userPicker } from '../CamsBiometrics/fields';
import { catalog, eventOptions, sorted } from '../catalog';

export const properties: INodeProperties[] = [
	{
		displayName: 'Events',
		name: 'events',
		type: 'multiOptions',
		required: true,
		options: [
			{
				name: 'All Events',
				value: '*',
				description: 'All events, including types added in later versions',
			},
			...eventOptions(),
		],
		default: ['attendance.punch'],
		description: 'The events that start the workflow',
	},
	{
		displayName: 'Device Names or IDs',
		name: 'deviceIds',
		type: 'multiOptions',
		typeOptions: { loadOptionsMethod: 'deviceOptions' },
		default: [],
		description:
			'Only events for these devices. If none is selected, events for all devices. Choose from the list, or specify IDs using an <a href="https://docs.n8n.io/code/expressions/">expression</a>.',
	},
	{
		displayName: 'Users',
		name: 'users',
		type: 'fixedCollection',
		typeOptions: { multipleValues: true },
		placeholder: 'Add User',
		default: {},
		description: 'Only events about these users. If there is none, events about all users.',
		options: [{ displayName: 'User', name: 'user', values: [userPicker()] }],
	},
	{
		displayName: 'User IDs',
		name: 'userIds',
		type: 'string',
		default: '',
		placeholder: 'e.g. 100, 101',
		description:
			'The IDs of more users, as they are on the device, separated by commas or as a list from an expression',
	},
	{
		displayName: 'Punch Types',
		name: 'punchTypes',
		type: 'multiOptions',
		options: sorted(catalog.punch_types.map(({ value, label }) => ({ name: label, value }))),
		default: [],
		description: 'Only punches of these types. If none is selected, punches of all types.',
		displayOptions: { show: { events: ['attendance.punch', '*'] } },
	},
	{
		displayName: 'Options',
		name: 'options',
		type: 'collection',
		placeholder: 'Add Option',
		default: {},
		options: [
			{
				displayName: 'Batch Size',
				name: 'batchMax',
				type: 'number',
				typeOptions: { minValue: 1, maxValue: 500, numberPrecision: 0 },
				default: 50,
				description:
					'Maximum number of events that start one execution, each as an item. A device that was offline can send thousands of events at once.',
			},
			{
				displayName: 'Batch Wait (Milliseconds)',
				name: 'batchWaitMs',
				type: 'number',
				typeOptions: { minValue: 0, maxValue: 60000, numberPrecision: 0 },
				default: 250,
				description: 'How long a batch waits for more events',
			},
			{
				displayName: 'Concurrent Deliveries',
				name: 'maxInFlight',
				type: 'number',
				typeOptions: { minValue: 1, maxValue: 100, numberPrecision: 0 },
				default: 16,
				description:
					'Maximum number of deliveries in progress at once. With 1, they arrive in strict order.',
			},
			{
				displayName: 'Download Photos',
				name: 'downloadPhoto',
				type: 'boolean',
				default: true,
				description:
					'Whether to add the photo of an Attendance Photo event as the binary field “photo”',
			},
			{
				displayName: 'Drop Repeated Deliveries',
				name: 'dropRepeated',
				type: 'boolean',
				default: true,
				description:
					'Whether to ignore deliveries that n8n has already answered. n8n remembers the last 1,000 until it restarts.',
			},
			{
				displayName: 'Include Card Numbers',
				name: 'includeCardNumbers',
				type: 'boolean',
				default: true,
				description: 'Whether to fill card_number. The API key requires the scope templates:read.',
			},
			{
				displayName: 'Sample After (Seconds)',
				name: 'sampleAfter',
				type: 'number',
				typeOptions: { minValue: 0, maxValue: 110, numberPrecision: 0 },
				default: 15,
				description:
					'How long a test in the editor waits for a real event before the relay sends a sample. 0 means never.',
			},
		],
	},
];
