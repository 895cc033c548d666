'use strict';

const { FIELDS, SAMPLE } = require('../employees');
const { failure } = require('../errors');
const { text } = require('../inputs');
const { call } = require('../relay');

const EXISTS = 412;

const user = (helpText) => ({
	key: 'user_id',
	label: 'User',
	type: 'string',
	required: true,
	dynamic: 'all_user_list.id.name',
	helpText,
});
const employeeId = (required, helpText) => ({
	key: 'employee_id',
	label: 'Employee',
	type: 'string',
	required,
	dynamic: 'employee_list.employee_id.name',
	helpText,
});
const NAME = {
	key: 'name',
	label: 'Name',
	type: 'string',
	placeholder: 'Asha Rao',
	helpText: 'The full name. It takes precedence over the name on the device.',
};
const DEVICE = {
	key: 'device_id',
	label: 'Device',
	type: 'string',
	dynamic: 'device_list.id.name',
	helpText: 'Only if the user ID belongs to another person on other devices.',
};

/** Calls the relay about the entry for a user ID, or for a user ID on one device. */
function entry(z, bundle, method, options) {
	const { inputData } = bundle;
	const path = `/v1/employees/${encodeURIComponent(text(inputData.user_id))}`;
	const params = { device_id: text(inputData.device_id) };
	return call(z, bundle, method, path, { params, ...options });
}

/** Returns the entry's fields in the form that aren't empty. */
function given({ inputData }) {
	const values = ['employee_id', 'name'].map((name) => [name, text(inputData[name])]);
	return Object.fromEntries(values.filter(([, value]) => value));
}

async function create(z, bundle) {
	const { status, data } = await entry(z, bundle, 'PUT', {
		body: given(bundle),
		headers: { 'If-None-Match': '*' }, // creates, but never changes
		also: [EXISTS],
	});
	if (status !== EXISTS) return data;
	// Without device_id, the relay returns only the entry for all devices.
	const { data: present } = await entry(z, bundle, 'GET');
	throw failure(
		z,
		`User ID ${present.user_id} already belongs to employee ${present.employee_id}. Use Update Employee to change this.`,
		'exists',
		409,
	);
}

async function update(z, bundle) {
	const body = given(bundle);
	if (!Object.keys(body).length) {
		throw failure(z, 'Enter an Employee or a Name.', 'nothing_to_change', 422);
	}
	return (await entry(z, bundle, 'PATCH', { body })).data;
}

const action = (key, label, description, inputFields, perform) => ({
	key,
	noun: 'Employee',
	display: { label, description },
	operation: { inputFields, perform, sample: SAMPLE, outputFields: FIELDS },
});

module.exports = [
	action(
		'create_employee',
		'Create Employee',
		'Adds an employee to the list, so that attendance events contain the employee ID.',
		[
			user("The person's user ID on the devices."),
			employeeId(true, 'The ID in your payroll or HR system. You can enter a new one.'),
			NAME,
			DEVICE,
		],
		create,
	),
	action(
		'update_employee',
		'Update Employee',
		"Changes an employee's ID or name in the list. Events that were already sent stay the same.",
		[
			user("The employee's user ID on the devices."),
			employeeId(false, 'The new employee ID. If it is empty, the present one is kept.'),
			{ ...NAME, helpText: 'The new full name. If it is empty, the present one is kept.' },
			DEVICE,
		],
		update,
	),
];
