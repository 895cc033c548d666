'use strict';

const { text } = require('../inputs');
const { list } = require('../relay');

/** Returns a device without its counters, which change with every callback. */
const FIELDS = [
	['id', 'ID', 'string', 'ZHM1100001'],
	['device_id', 'Device ID', 'string', 'ZHM1100001'],
	['label', 'Label', 'string', 'Front Door'],
	['serial_number', 'Serial Number', 'string', 'ZHM1100001'],
	['mode', 'Mode', 'string', 'native'],
	['timezone', 'Time Zone', 'string', 'Asia/Kolkata'],
	['callback_url', 'Callback URL', 'string', 'https://relay.example.com/callback/ZHM1100001'],
	['created_at', 'Created At', 'datetime', '2026-11-01T06:00:00.000Z'],
	['last_seen_at', 'Last Seen At', 'datetime', '2026-11-24T03:31:46.120Z'],
];

async function perform(z, bundle) {
	const wanted = text(bundle.inputData.device).toLowerCase();
	const devices = await list(z, bundle, '/v1/devices');
	return devices
		.filter((device) =>
			[device.device_id, device.serial_number, device.label].some(
				(name) => name?.toLowerCase() === wanted,
			),
		)
		.map((device) => ({ ...device, id: device.device_id }))
		.map((device) => Object.fromEntries(FIELDS.map(([key]) => [key, device[key]])));
}

module.exports = {
	key: 'find_device',
	noun: 'Device',
	display: {
		label: 'Find Device',
		description:
			'Finds a device by Service Tag ID, serial number or label, and shows when it was last seen.',
	},
	operation: {
		inputFields: [
			{
				key: 'device',
				label: 'Device',
				type: 'string',
				required: true,
				dynamic: 'device_list.id.name',
				helpText: 'The Service Tag ID, serial number or label, in upper or lower case.',
			},
		],
		perform,
		sample: Object.fromEntries(FIELDS.map(([key, , , example]) => [key, example])),
		outputFields: FIELDS.map(([key, label, type]) => ({ key, label, type })),
	},
};
