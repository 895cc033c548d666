'use strict';

const { eventOf, outputFields, sampleOf } = require('./catalog');

/** The fields of a person's day. The event attendance.day_changed has the same ones, beside those that all events have. */
const { fields } = eventOf('attendance.day_changed');
const first = fields.findIndex(({ name }) => name === 'date');
const DAY = fields.slice(first).filter(({ name }) => name !== 'revision');

const TOTALS = [
	['days_present', 'Days Present', 'integer', 1],
	['late_days', 'Late Days', 'integer', 0],
	['missing_punch_days', 'Missing Punch Days', 'integer', 0],
	['worked_seconds', 'Worked Seconds', 'integer', 32898],
	['worked_hours', 'Worked Hours', 'number', 9.14],
].map(([name, label, type, example]) => ({ name, label, type, example }));
const PERSON = DAY.filter(({ name }) => ['user_id', 'user_name', 'employee_id'].includes(name));
const MONTH = [
	...PERSON,
	{ name: 'month', label: 'Month', type: 'string', example: '2026-11' },
	...TOTALS,
	{ name: 'data', type: 'array', fields: DAY },
];

const ID = { key: 'id', label: 'ID', type: 'string' };
const shown = (values, id) => ({
	sample: { id, ...sampleOf(values) },
	outputFields: [ID, ...outputFields(values)],
});

module.exports = {
	day: shown(DAY, '2/2026-11-24'),
	month: shown(MONTH, '2/2026-11'),
};
