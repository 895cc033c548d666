'use strict';

const { catalog, choices } = require('../catalog');
const { allFields, commonFields, sampleOf } = require('../eventFields');
const { text } = require('../inputs');
const { withPhoto } = require('../photo');
const { page } = require('../relay');

const MOST = 10;
const common = commonFields(['*']);
const known = new Set(common.map(({ key }) => key));

/** Returns the latest matching events, newest first. Zapier uses the first one. */
async function perform(z, bundle) {
	const { inputData } = bundle;
	const filters = ['device_id', 'user_id', 'since', 'until'].map((key) => [
		key,
		text(inputData[key]),
	]);
	const params = { type: inputData.event_type, ...Object.fromEntries(filters), limit: MOST };
	const { rows } = await page(z, bundle, '/v1/events', params);
	return rows.map((event) => withPhoto(z, event));
}

module.exports = {
	key: 'find_event',
	noun: 'Event',
	display: {
		label: 'Find Event',
		description: 'Finds the latest event of a type, for example the last punch of a user.',
	},
	operation: {
		inputFields: [
			{
				key: 'event_type',
				label: 'Event Type',
				type: 'string',
				required: true,
				choices: choices(catalog.events, 'type'),
				altersDynamicFields: true,
				helpText: 'The type of event. The fields of the result depend on it.',
			},
			{
				key: 'device_id',
				label: 'Device',
				type: 'string',
				dynamic: 'device_list.id.name',
				helpText: 'Only events for this device. Leave it empty for all devices.',
			},
			{
				key: 'user_id',
				label: 'User',
				type: 'string',
				dynamic: 'user_list.id.name',
				helpText: 'Only events about this user, by the ID on the device.',
			},
			{
				key: 'since',
				label: 'Since',
				type: 'datetime',
				helpText: 'Only events that the relay received at this time or later.',
			},
			{
				key: 'until',
				label: 'Until',
				type: 'datetime',
				helpText: 'Only events that the relay received at this time or earlier.',
			},
		],
		perform,
		sample: sampleOf(['*'], common),
		outputFields: [
			...common,
			(z, { inputData: { event_type: type } }) =>
				type ? allFields([type]).filter(({ key }) => !known.has(key)) : [],
		],
	},
};
