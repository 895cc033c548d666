import type { INodeProperties, INodePropertyOptions } from 'n8n-workflow';

import { picker } from './fields';
import { filters, shown } from './shownFor';

export const deliveryOperations: Record<string, INodePropertyOptions[]> = {
	delivery: [
		{
			name: 'Get',
			value: 'get',
			action: 'Get delivery',
			description: 'Get a delivery with its attempts',
		},
		{
			name: 'Get Many',
			value: 'getAll',
			action: 'Get many deliveries',
			description: 'Get the deliveries of a subscription, latest attempt first',
		},
		{
			name: 'Retry',
			value: 'retry',
			action: 'Retry delivery',
			description: 'Attempt a delivery again now, even if the relay has given up on it',
		},
	],
	subscription: [
		{
			name: 'Get',
			value: 'get',
			action: 'Get subscription',
			description: 'Get a subscription with the state of its deliveries',
		},
		{
			name: 'Get Many',
			value: 'getAll',
			action: 'Get many subscriptions',
			description: 'Get the subscriptions to events, oldest first',
		},
		{
			name: 'Replay',
			value: 'replay',
			action: 'Replay events to subscription',
			description: 'Deliver stored events to a subscription again, for example those it missed',
		},
	],
};

function subscriptionPicker(show: Record<string, string[]>): INodeProperties {
	return picker(
		'Subscription',
		'subscriptionId',
		'searchSubscriptions',
		'The subscription to events. Each published trigger has one.',
		'e.g. sub_9f2c4e6a8b0d1f3a',
		show,
	);
}

export const deliveryProperties: INodeProperties[] = [
	subscriptionPicker(shown('subscription', 'get', 'replay').show),
	subscriptionPicker(shown('delivery', 'getAll').show),
	{
		displayName: 'Delivery ID',
		name: 'deliveryId',
		type: 'string',
		default: '',
		required: true,
		placeholder: 'e.g. dlv_9f2c4e6a8b0d1f3a',
		description: 'The ID of the delivery, as returned by Get Many',
		displayOptions: shown('delivery', 'get', 'retry'),
	},
	{
		displayName: 'Replay By',
		name: 'replayBy',
		type: 'options',
		options: [
			{ name: 'Event IDs', value: 'ids' },
			{ name: 'Time Range', value: 'time' },
		],
		default: 'time',
		description: 'How to choose the events',
		displayOptions: shown('subscription', 'replay'),
	},
	{
		displayName: 'Received Since',
		name: 'since',
		type: 'dateTime',
		default: '',
		required: true,
		description: 'Events that the relay received at this time or later',
		displayOptions: { show: { ...shown('subscription', 'replay').show, replayBy: ['time'] } },
	},
	{
		displayName: 'Received Until',
		name: 'until',
		type: 'dateTime',
		default: '',
		description: 'Events that the relay received at this time or earlier. If empty, until now.',
		displayOptions: { show: { ...shown('subscription', 'replay').show, replayBy: ['time'] } },
	},
	{
		displayName: 'Event IDs',
		name: 'eventIds',
		type: 'string',
		default: '',
		required: true,
		placeholder: 'e.g. evt_01kay8ds0r000000, evt_01kay8ds0r000001',
		description: 'The IDs of up to 1,000 events, separated by commas',
		displayOptions: { show: { ...shown('subscription', 'replay').show, replayBy: ['ids'] } },
	},
	filters('delivery', [
		{
			displayName: 'Attempted Since',
			name: 'since',
			type: 'dateTime',
			default: '',
			description: 'Only deliveries whose latest attempt was at this time or later',
		},
		{
			displayName: 'Attempted Until',
			name: 'until',
			type: 'dateTime',
			default: '',
			description: 'Only deliveries whose latest attempt was at this time or earlier',
		},
		{
			displayName: 'Event ID',
			name: 'event_id',
			type: 'string',
			default: '',
			description: 'Only deliveries of this event',
		},
		{
			displayName: 'Status',
			name: 'status',
			type: 'options',
			options: [
				{ name: 'Dead', value: 'dead' },
				{ name: 'Delivered', value: 'delivered' },
				{ name: 'Dropped', value: 'dropped' },
				{ name: 'Pending', value: 'pending' },
				{ name: 'Retrying', value: 'retrying' },
			],
			default: 'dead',
			description: 'Only deliveries with this status',
		},
	]),
];
