import type { INodeProperties } from 'n8n-workflow';

import { catalog, eventOptions, sorted } from '../catalog';

export const properties: INodeProperties[] = [
	{
		displayName: 'Events',
		name: 'events',
		type: 'multiOptions',
		required: true,
		options: [
			{ name: 'All Events', value: '*', description: 'Everything, also what a later version adds' },
			...eventOptions(),
		],
		default: ['attendance.punch'],
		description: 'What starts the workflow',
	},
	{
		displayName: 'Device Names or IDs',
		name: 'deviceIds',
		type: 'multiOptions',
		typeOptions: { loadOptionsMethod: 'deviceOptions' },
		default: [],
		description:
			'Only events of these devices; all of them where none is chosen. Choose from the list, or specify IDs using an <a href="https://docs.n8n.io/code/expressions/">expression</a>.',
	},
	{
		displayName: 'User IDs',
		name: 'userIds',
		type: 'string',
		default: '',
		placeholder: 'e.g. 100, 101',
		description: 'Only events of these users, by their IDs on the device, separated by commas',
	},
	{
		displayName: 'Punch Types',
		name: 'punchTypes',
		type: 'multiOptions',
		options: sorted(catalog.punch_types.map(({ value, label }) => ({ name: label, value }))),
		default: [],
		description: 'Only punches of these types; all of them where none is chosen',
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
				default: 100,
				description:
					'How many events may come as the items of one execution. A device that was offline sends thousands at once.',
			},
			{
				displayName: 'Batch Wait (Milliseconds)',
				name: 'batchWaitMs',
				type: 'number',
				typeOptions: { minValue: 0, maxValue: 60000, numberPrecision: 0 },
				default: 500,
				description: 'How long a batch that is not full waits for more events',
			},
			{
				displayName: 'Deliveries at Once',
				name: 'maxInFlight',
				type: 'number',
				typeOptions: { minValue: 1, maxValue: 100, numberPrecision: 0 },
				default: 16,
				description:
					'How many deliveries may be under way at once. With 1 they come in strict order.',
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
					'Whether to start nothing for a delivery that n8n answered before, since it was started. The last 1,000 are remembered.',
			},
			{
				displayName: 'Include Card Numbers',
				name: 'includeCardNumbers',
				type: 'boolean',
				default: true,
				description: 'Whether to fill card_number. The API key needs the scope templates:read.',
			},
			{
				displayName: 'Sample After (Seconds)',
				name: 'sampleAfter',
				type: 'number',
				typeOptions: { minValue: 0, maxValue: 110, numberPrecision: 0 },
				default: 15,
				description:
					'How long a test in the editor waits for a real event before the relay sends a sample; 0 for never',
			},
		],
	},
];
