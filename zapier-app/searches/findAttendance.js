'use strict';

const { day, month } = require('../attendance');
const { text } = require('../inputs');
const { call, page } = require('../relay');

const USER = {
	key: 'user_id',
	label: 'User',
	type: 'string',
	required: true,
	dynamic: 'all_user_list.id.name',
	helpText: "The person's user ID on the devices.",
};
const EMPLOYEE = {
	key: 'employee_id',
	label: 'Employee',
	type: 'string',
	dynamic: 'employee_list.employee_id.name',
	helpText: 'Only this employee. Use it if a user ID belongs to different people.',
};

const dated = (key, label, example, helpText) => ({
	key,
	label,
	type: 'string',
	required: true,
	placeholder: example,
	helpText: `${helpText} You can also use a date and time from another step.`,
});
const DATE = dated('date', 'Date', '2026-11-24', 'The day, such as 2026-11-24.');
const MONTH = dated('month', 'Month', '2026-11', 'The month, such as 2026-11.');

/** Returns the beginning of a date, or of a date and time. */
const cut = (value, { placeholder }) => text(value).slice(0, placeholder.length);

async function findDay(z, bundle) {
	const { inputData } = bundle;
	const date = cut(inputData.date, DATE);
	const { rows } = await page(z, bundle, '/v1/attendance', {
		date,
		user_id: text(inputData.user_id),
		employee_id: text(inputData.employee_id),
	});
	return rows.map((row) => ({ id: `${row.user_id}/${row.date}`, ...row }));
}

async function findMonth(z, bundle) {
	const { inputData } = bundle;
	const user = text(inputData.user_id);
	const { data } = await call(z, bundle, 'GET', `/v1/attendance/${encodeURIComponent(user)}`, {
		params: {
			month: cut(inputData.month, MONTH),
			employee_id: text(inputData.employee_id),
			format: 'json', // a user ID can end with .csv
		},
	});
	return data.days_present ? [{ id: `${user}/${data.month}`, ...data }] : [];
}

const search = (key, noun, label, description, input, perform, shown) => ({
	key,
	noun,
	display: { label, description },
	operation: { inputFields: [USER, input, EMPLOYEE], perform, ...shown },
});

module.exports = [
	search(
		'find_attendance_day',
		'Attendance Day',
		'Find Attendance Day',
		"Finds a person's first in, last out and hours on a day, and whether a punch is missing.",
		DATE,
		findDay,
		day,
	),
	search(
		'find_attendance_month',
		'Attendance Month',
		'Find Attendance Month',
		"Finds a person's attendance in a month: the totals, and the days as line items.",
		MONTH,
		findMonth,
		month,
	),
];
