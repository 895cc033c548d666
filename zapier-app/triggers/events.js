'use strict';

const { catalog, choices, eventOf } = require('../catalog');
const { allFields, commonFields, sampleOf } = require('../eventFields');
const { chosen, isOn } = require('../inputs');
const { withPhoto } = require('../photo');
const { call } = require('../relay');
const { verified } = require('../signature');
const { subscribe, unsubscribe } = require('../subscription');

const DEVICES = {
	key: 'device_ids',
	label: 'Devices',
	type: 'string',
	list: true,
	dynamic: 'device_list.id.name',
	helpText: 'Only events for these devices. Leave it empty for all devices.',
};
const USERS = {
	key: 'user_ids',
	label: 'Users',
	type: 'string',
	list: true,
	dynamic: 'all_user_list.id.name',
	helpText:
		'Only events about these users, by their IDs on the device. Leave it empty for all users.',
};
const PUNCH_TYPES = {
	key: 'punch_types',
	label: 'Punch Types',
	type: 'string',
	list: true,
	choices: choices(catalog.punch_types),
	helpText: 'Only punches of these types. Leave it empty for all types.',
};
const CARD_NUMBERS = {
	key: 'include_card_numbers',
	label: 'Include Card Numbers',
	type: 'boolean',
	helpText: 'Whether to fill Card Number. The API key requires the scope `templates:read`.',
};
const EVENT_TYPES = {
	key: 'event_types',
	label: 'Event Types',
	type: 'string',
	list: true,
	choices: choices(catalog.events, 'type'),
	altersDynamicFields: true,
	helpText:
		'The event types that trigger. Leave it empty for all types, including those added in later versions.',
};
const ENDED = ['command.completed', 'command.failed', 'command.unknown', 'command.cancelled'];
const OUTCOMES = {
	key: 'event_types',
	label: 'Outcomes',
	type: 'string',
	list: true,
	choices: choices(ENDED.map(eventOf), 'type'),
	helpText: 'How the command ended. Leave it empty for all.',
};

const TRIGGERS = [
	{
		key: 'new_punch',
		noun: 'Punch',
		label: 'New Punch',
		description: 'Triggers when someone punches in or out on a biometric attendance device.',
		types: ['attendance.punch'],
		inputFields: [DEVICES, USERS, PUNCH_TYPES],
	},
	{
		key: 'new_attendance_photo',
		noun: 'Attendance Photo',
		label: 'New Attendance Photo',
		description: 'Triggers when a device takes a photo of someone who punches.',
		types: ['attendance.photo'],
		inputFields: [DEVICES, USERS],
	},
	{
		key: 'user_updated',
		noun: 'User',
		label: 'User Added or Changed',
		description: 'Triggers when a user is added or changed on a device.',
		types: ['user.updated'],
		inputFields: [DEVICES, USERS],
	},
	{
		key: 'user_deleted',
		noun: 'User',
		label: 'User Deleted',
		description: 'Triggers when a user is deleted on a device.',
		types: ['user.deleted'],
		inputFields: [DEVICES, USERS],
	},
	{
		key: 'credential_updated',
		noun: 'Credential',
		label: 'Credential Added or Changed',
		description:
			"Triggers when a user's card, PIN, fingerprint, face, palm or photo is added or changed.",
		types: ['credential.updated'],
		inputFields: [DEVICES, USERS, CARD_NUMBERS],
	},
	{
		key: 'device_clock_changed',
		noun: 'Device',
		label: 'Device Clock Changed',
		description: "Triggers when a device's clock is set manually.",
		types: ['device.time_changed'],
		inputFields: [DEVICES],
	},
	{
		key: 'attendance_day_changed',
		noun: 'Attendance Day',
		label: 'Attendance Day Changed',
		description:
			"Triggers when a person's day changes: first in, last out, hours, or a missing punch.",
		types: ['attendance.day_changed'],
		inputFields: [USERS],
	},
	{
		key: 'device_silent',
		noun: 'Device',
		label: 'Device Silent',
		description:
			"Triggers when a device hasn't been in contact for a while during its working hours.",
		types: ['device.silent'],
		inputFields: [DEVICES],
	},
	{
		key: 'device_back',
		noun: 'Device',
		label: 'Device Back',
		description: 'Triggers when a device that was silent is in contact again.',
		types: ['device.back'],
		inputFields: [DEVICES],
	},
	{
		key: 'unknown_user',
		noun: 'Unknown User',
		label: 'Unknown User',
		description:
			'Triggers when someone punches who is neither known to the device nor in the list of employees.',
		types: ['user.unknown'],
		inputFields: [DEVICES, USERS],
	},
	{
		key: 'command_finished',
		noun: 'Command',
		label: 'Command Finished',
		description: 'Triggers when a device carries out a command, or a command fails.',
		types: ENDED,
		inputFields: [DEVICES, USERS, OUTCOMES],
	},
	{
		key: 'any_event',
		noun: 'Event',
		label: 'Any Event',
		description:
			'Triggers when anything happens on a device, or only for the event types that you select.',
		types: ['*'],
		inputFields: [EVENT_TYPES, DEVICES, USERS, PUNCH_TYPES, CARD_NUMBERS],
	},
];

/** The maximum number of events in a delivery. A device that was offline sends thousands at once. */
const BATCH = { batch_max: 100, batch_wait_ms: 500 };

/** How long a subscription lasts that was created in the editor, where nothing may delete it. */
const TEST_SECONDS = 3600;

function wanted(trigger, types, { targetUrl, inputData, meta }) {
	return {
		target_url: targetUrl,
		event_types: types,
		filters: {
			device_ids: chosen(inputData.device_ids),
			user_ids: chosen(inputData.user_ids),
			punch_types: chosen(inputData.punch_types),
		},
		description: `Zapier: ${trigger.label}`,
		include_card_numbers: isOn(inputData.include_card_numbers),
		...BATCH,
		...(meta?.isLoadingSample && { expires_in: TEST_SECONDS }),
	};
}

function hook(trigger) {
	const { key, noun, label, description, inputFields } = trigger;
	const typesOf = ({ inputData }) => {
		const types = chosen(inputData.event_types);
		return types.length ? types : trigger.types;
	};
	// Only the fields that all events have are known. The others depend on the selected types.
	const any = trigger.types.includes('*');
	const common = any ? commonFields(trigger.types) : allFields(trigger.types);
	const known = new Set(common.map((field) => field.key));
	const more = (z, bundle) => allFields(typesOf(bundle)).filter((field) => !known.has(field.key));
	return {
		key,
		noun,
		display: { label, description },
		operation: {
			type: 'hook',
			inputFields,
			performSubscribe: (z, bundle) =>
				subscribe(z, bundle, wanted(trigger, typesOf(bundle), bundle)),
			performUnsubscribe: (z, bundle) => unsubscribe(z, bundle, bundle.subscribeData.id),
			perform: (z, bundle) => [verified(z, bundle)].flat().map((event) => withPhoto(z, event)),
			performList: async (z, bundle) => {
				const answers = await Promise.all(
					typesOf(bundle).map((type) =>
						call(z, bundle, 'GET', '/v1/events/samples', { params: { type } }),
					),
				);
				return answers.flatMap(({ data }) => data).map((event) => withPhoto(z, event));
			},
			sample: sampleOf(trigger.types, common),
			outputFields: any ? [...common, more] : common,
		},
	};
}

module.exports = TRIGGERS.map(hook);
