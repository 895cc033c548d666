'use strict';

const SAMPLE = {
	id: '2',
	user_id: '2',
	employee_id: 'EMP-0042',
	name: 'Asha Rao',
	device_id: 'ZHM1100001',
};
const FIELDS = [
	{ key: 'id', label: 'ID', type: 'string' },
	{ key: 'user_id', label: 'User ID', type: 'string' },
	{ key: 'employee_id', label: 'Employee ID', type: 'string' },
	{ key: 'name', label: 'Name', type: 'string' },
	{ key: 'device_id', label: 'Device ID', type: 'string' },
];

module.exports = { SAMPLE, FIELDS };
