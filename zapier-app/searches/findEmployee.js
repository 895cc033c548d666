'use strict';

const { FIELDS, SAMPLE } = require('../employees');
const { text } = require('../inputs');
const { list } = require('../relay');

async function perform(z, bundle) {
	const wanted = text(bundle.inputData.employee).toLowerCase();
	const employees = await list(z, bundle, '/v1/employees');
	return employees.filter(({ user_id: userId, employee_id: employeeId, name }) =>
		[userId, employeeId, name].some((value) => value?.toLowerCase() === wanted),
	);
}

module.exports = {
	key: 'find_employee',
	noun: 'Employee',
	display: {
		label: 'Find Employee',
		description: 'Finds an employee in the relay’s list by user ID, employee ID or name.',
	},
	operation: {
		inputFields: [
			{
				key: 'employee',
				label: 'Employee',
				type: 'string',
				required: true,
				dynamic: 'employee_list.employee_id.name',
				helpText: 'The user ID, employee ID or full name, in upper or lower case.',
			},
		],
		perform,
		sample: SAMPLE,
		outputFields: FIELDS,
	},
};
