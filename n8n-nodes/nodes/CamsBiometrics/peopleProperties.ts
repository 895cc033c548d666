import type { INodeProperties, INodePropertyOptions } from 'n8n-workflow';

import { picker, userPicker } from './fields';
import { deviceFilter, fileField, filters, shown } from './shownFor';

export const peopleOperations: Record<string, INodePropertyOptions[]> = {
	attendance: [
		{
			name: 'Export',
			value: 'export',
			action: 'Export attendance',
			description: 'Export the attendance of a day or month as a CSV or Excel file',
		},
		{
			name: 'Get Many',
			value: 'getAll',
			action: 'Get attendance of day',
			description: 'Get the people who punched on a day, with first in, last out and hours',
		},
		{
			name: 'Get Month',
			value: 'getMonth',
			action: 'Get attendance of user in month',
			description: 'Get a person’s days in a month, with first in, last out and hours',
		},
	],
	employee: [
		{
			name: 'Create',
			value: 'create',
			action: 'Create employee',
			description: 'Create an employee, who is assigned to a user ID on the devices',
		},
		{
			name: 'Create or Update',
			value: 'upsert',
			action: 'Create or update employee',
			description: 'Create a new record, or update the current one if it already exists (upsert)',
		},
		{
			name: 'Delete',
			value: 'delete',
			action: 'Delete employee',
			description: 'Delete an employee from the list. The user stays on the devices.',
		},
		{
			name: 'Get',
			value: 'get',
			action: 'Get employee',
			description: 'Get the employee who is assigned to a user ID',
		},
		{
			name: 'Get Many',
			value: 'getAll',
			action: 'Get many employees',
			description: 'Get the list of employees, sorted by user ID',
		},
		{
			name: 'Update',
			value: 'update',
			action: 'Update employee',
			description: 'Change some fields of an employee',
		},
	],
};

const employeeFilter: INodeProperties = {
	displayName: 'Employee ID',
	name: 'employee_id',
	type: 'string',
	default: '',
	description: 'Only the attendance of this employee',
};
const timezoneFilter: INodeProperties = {
	displayName: 'Time Zone',
	name: 'timezone',
	type: 'string',
	default: '',
	placeholder: 'e.g. Asia/Kolkata',
	description: 'Only punches from devices in this time zone',
};
const userFilter: INodeProperties = {
	displayName: 'User IDs',
	name: 'user_id',
	type: 'string',
	default: '',
	placeholder: 'e.g. 100, 101',
	description:
		'Only the attendance of these users, by their IDs on the device, separated by commas',
};
const deviceEntry: INodeProperties = {
	...deviceFilter,
	description:
		'Only needed if different people have this user ID on different devices. Choose from the list, or specify an ID using an <a href="https://docs.n8n.io/code/expressions/">expression</a>.',
};
const nameField: INodeProperties = {
	displayName: 'Name',
	name: 'name',
	type: 'string',
	default: '',
	placeholder: 'e.g. Asha Rao',
	description: 'The employee’s name. It takes precedence over the name on the device.',
};
const employeeIdField: INodeProperties = {
	displayName: 'Employee ID',
	name: 'employeeId',
	type: 'string',
	default: '',
	placeholder: 'e.g. EMP-0042',
	description: 'The employee’s ID in your HR software',
};

function additional(options: INodeProperties[], ...operations: string[]): INodeProperties {
	return {
		displayName: 'Additional Fields',
		name: 'additionalFields',
		type: 'collection',
		placeholder: 'Add Field',
		default: {},
		displayOptions: shown('employee', ...operations),
		options,
	};
}

export const peopleProperties: INodeProperties[] = [
	{
		displayName: 'File Format',
		name: 'fileFormat',
		type: 'options',
		options: [
			{ name: 'CSV', value: 'csv' },
			{ name: 'Excel', value: 'xlsx' },
		],
		default: 'xlsx',
		displayOptions: shown('attendance', 'export'),
	},
	{
		displayName: 'Period',
		name: 'period',
		type: 'options',
		options: [
			{ name: 'Day', value: 'date' },
			{ name: 'Month', value: 'month' },
		],
		default: 'month',
		description: 'Whether the file is for a day or a month',
		displayOptions: shown('attendance', 'export'),
	},
	{
		displayName: 'Date',
		name: 'date',
		type: 'dateTime',
		typeOptions: { dateOnly: true },
		default: '',
		required: true,
		description: 'The day, at the site of the devices',
		displayOptions: shown('attendance', 'getAll'),
	},
	{
		displayName: 'Date',
		name: 'date',
		type: 'dateTime',
		typeOptions: { dateOnly: true },
		default: '',
		required: true,
		description: 'The day, at the site of the devices',
		displayOptions: { show: { ...shown('attendance', 'export').show, period: ['date'] } },
	},
	userPicker(shown('attendance', 'getMonth').show),
	{
		displayName: 'Month',
		name: 'month',
		type: 'string',
		default: '',
		required: true,
		placeholder: 'e.g. 2026-11',
		description: 'The month, as year and month',
		displayOptions: shown('attendance', 'getMonth'),
	},
	{
		displayName: 'Month',
		name: 'month',
		type: 'string',
		default: '',
		required: true,
		placeholder: 'e.g. 2026-11',
		description: 'The month, as year and month',
		displayOptions: { show: { ...shown('attendance', 'export').show, period: ['month'] } },
	},
	{
		displayName: 'Split Into Items',
		name: 'splitDays',
		type: 'boolean',
		default: true,
		description:
			'Whether to output one item per day instead of one item with the totals and a list of the days',
		displayOptions: shown('attendance', 'getMonth'),
	},
	fileField(
		'The name of the output binary field to put the file in',
		shown('attendance', 'export').show,
	),
	filters('attendance', [deviceFilter, employeeFilter, timezoneFilter, userFilter]),
	filters('attendance', [deviceFilter, employeeFilter, timezoneFilter], 'getMonth'),
	filters(
		'attendance',
		[
			deviceFilter,
			employeeFilter,
			{
				displayName: 'Simulated Devices',
				name: 'simulated',
				type: 'boolean',
				default: false,
				description: 'Whether to include punches from simulated devices',
			},
			timezoneFilter,
			userFilter,
		],
		'export',
	),
	picker(
		'User',
		'userId',
		'searchEmployees',
		'The employee, by the user ID on the device',
		'e.g. 100',
		shown('employee', 'get', 'update', 'delete').show,
	),
	{
		displayName: 'User ID',
		name: 'userId',
		type: 'string',
		default: '',
		required: true,
		placeholder: 'e.g. 100',
		description: 'The employee’s user ID on the devices',
		displayOptions: shown('employee', 'create', 'upsert'),
	},
	{
		...employeeIdField,
		required: true,
		displayOptions: shown('employee', 'create', 'upsert'),
	},
	additional([deviceEntry], 'get', 'delete'),
	additional([deviceEntry, nameField], 'create', 'upsert'),
	additional([deviceEntry, { ...employeeIdField, name: 'employee_id' }, nameField], 'update'),
];
