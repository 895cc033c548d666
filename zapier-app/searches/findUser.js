'use strict';

const { failure } = require('../errors');
const { text } = require('../inputs');
const { call, list } = require('../relay');

const GONE = 404;

/** Returns a user on a device as a flat object that contains only the types of the credentials. */
function flat({ credentials, ...user }) {
	const types = [...new Set(credentials.map(({ credential_type: type }) => type))];
	return { ...user, id: `${user.device_id}/${user.user_id}`, credential_types: types.join(', ') };
}

async function byId(z, bundle, userId) {
	const path = `/v1/users/${encodeURIComponent(userId)}`;
	const { status, data } = await call(z, bundle, 'GET', path, { also: [GONE] });
	return status === GONE ? [] : data.devices;
}

async function perform(z, bundle) {
	const { inputData } = bundle;
	const [userId, name, device] = [inputData.user_id, inputData.name, inputData.device_id].map(text);
	if (!userId && !name) {
		throw failure(z, 'Enter a User or a Name.', 'nothing_to_find', 422);
	}
	const users = userId
		? await byId(z, bundle, userId)
		: await list(z, bundle, '/v1/users', { device_id: device });
	return users
		.filter((user) => !device || user.device_id === device)
		.filter((user) => text(user.full_name).toLowerCase().includes(name.toLowerCase()))
		.map(flat);
}

module.exports = {
	key: 'find_user',
	noun: 'User',
	display: {
		label: 'Find User',
		description: 'Finds a user on any device by ID or name, with the types of their credentials.',
	},
	operation: {
		inputFields: [
			{
				key: 'user_id',
				label: 'User',
				type: 'string',
				dynamic: 'all_user_list.id.name',
				helpText: "The user's ID on the device. Either this or the name is required.",
			},
			{
				key: 'name',
				label: 'Name',
				type: 'string',
				helpText: 'All or part of the full name, in upper or lower case.',
			},
			{
				key: 'device_id',
				label: 'Device',
				type: 'string',
				dynamic: 'device_list.id.name',
				helpText: 'Only users on this device. Leave it empty for all devices.',
			},
		],
		perform,
		sample: {
			id: 'ZHM1100001/100',
			user_id: '100',
			device_id: 'ZHM1100001',
			device_label: 'Front Door',
			simulated: false,
			first_name: 'Manu',
			last_name: 'Mona',
			user_type: 'user',
			full_name: 'Manu Mona',
			source: 'device',
			updated_at: '2026-11-24T03:31:46.120Z',
			credential_types: 'card, fingerprint',
		},
		outputFields: [
			{ key: 'id', label: 'ID', type: 'string' },
			{ key: 'user_id', label: 'User ID', type: 'string' },
			{ key: 'device_id', label: 'Device ID', type: 'string' },
			{ key: 'device_label', label: 'Device Label', type: 'string' },
			{ key: 'simulated', label: 'Simulated', type: 'boolean' },
			{ key: 'first_name', label: 'First Name', type: 'string' },
			{ key: 'last_name', label: 'Last Name', type: 'string' },
			{ key: 'user_type', label: 'User Type', type: 'string' },
			{ key: 'full_name', label: 'Full Name', type: 'string' },
			{ key: 'source', label: 'Source', type: 'string' },
			{ key: 'updated_at', label: 'Updated At', type: 'datetime' },
			{ key: 'credential_types', label: 'Credential Types', type: 'string' },
		],
	},
};
