'use strict';

const { page } = require('../relay');

/** Returns the label of a dropdown's entry, such as `Front Door (ZHM1100001)`. */
const named = (name, id) => (name ? `${name} (${id})` : id);

const device = ({ device_id: id, label }) => ({ id, name: named(label, id) });
const user = ({ user_id: id, full_name: name }) => ({ id, name: named(name, id) });

/** Returns a page of a dropdown. Zapier stores the relay's cursor for the next page. */
async function choices(z, bundle, path, params, option) {
	const cursor = bundle.meta?.page ? await z.cursor.get() : undefined;
	if (bundle.meta?.page && !cursor) return [];
	const { rows, next } = await page(z, bundle, path, { ...params, cursor });
	if (next || cursor) await z.cursor.set(next ?? '');
	// The list has an entry for each device that a user is on.
	return [...new Map(rows.map(option).map((one) => [one.id, one])).values()];
}

const employee = ({ user_id: id, employee_id: employeeId, name }) => ({
	id,
	employee_id: employeeId,
	name: named(name, employeeId),
});

function picker(key, noun, perform, more = {}) {
	return {
		key,
		noun,
		display: {
			label: `${noun} List`,
			description: `Lists the ${noun.toLowerCase()}s known to the relay, for a dropdown.`,
			hidden: true,
		},
		operation: {
			perform,
			canPaginate: true,
			sample: { id: '100', name: 'Manu Mona (100)', ...more },
			outputFields: [
				{ key: 'id', label: 'ID', type: 'string' },
				{ key: 'name', label: 'Name', type: 'string' },
				...Object.keys(more).map((name) => ({ key: name, label: 'Employee ID', type: 'string' })),
			],
		},
	};
}

module.exports = [
	picker('device_list', 'Device', (z, bundle) => choices(z, bundle, '/v1/devices', {}, device)),
	// inputData contains the form's other fields, such as the selected device.
	picker('user_list', 'User', (z, bundle) =>
		choices(z, bundle, '/v1/users', { device_id: bundle.inputData.device_id }, user),
	),
	picker('all_user_list', 'User of Any Device', (z, bundle) =>
		choices(z, bundle, '/v1/users', {}, user),
	),
	picker(
		'employee_list',
		'Employee',
		(z, bundle) => choices(z, bundle, '/v1/employees', {}, employee),
		{ employee_id: 'EMP-0042' },
	),
];
