'use strict';

const { actionOf, catalog, outputFields } = require('../catalog');
const { resultFields, resultSample, resume, run } = require('./command');
const employees = require('./employees');
const { inputField } = require('./fields');

/** The commands with a separate action. Run a Command offers all of them. */
const CREATES = [
	{
		key: 'add_user',
		action: 'add-user',
		noun: 'User',
		label: 'Add User',
		description:
			'Adds a user to a device with any credentials: card, PIN, fingerprint, face, palm or photo.',
	},
	{
		key: 'enable_user',
		action: 'enable-user',
		noun: 'User',
		label: 'Enable User',
		description: 'Lets a disabled user authenticate on a device again.',
	},
	{
		key: 'disable_user',
		action: 'disable-user',
		noun: 'User',
		label: 'Disable User',
		description: 'Blocks a user on a device. The name and credentials are kept.',
	},
	{
		key: 'delete_user',
		action: 'delete-user',
		noun: 'User',
		label: 'Delete User',
		description: "Deletes a user and all of their credentials from a device. This can't be undone.",
	},
	{
		key: 'enroll_fingerprint',
		action: 'enroll-fingerprint',
		noun: 'Fingerprint',
		label: 'Enroll Fingerprint',
		description: 'Starts enrolling the fingerprint of a user, who must be at the device.',
	},
	{
		key: 'set_access_time',
		action: 'update-access-time',
		noun: 'Access Time',
		label: 'Set Access Time',
		description: 'Sets the period in which a user can authenticate on a device.',
	},
	{
		key: 'load_punch_log',
		action: 'load-log',
		noun: 'Punch Log',
		label: 'Load Punch Log',
		description: 'Reads the punches in a time range from a device, as line items.',
	},
	{
		key: 'resend_punches',
		action: 'resend-attendance',
		noun: 'Punch',
		label: 'Resend Punches',
		description:
			'Makes a device send its punches in a time range again, to recover missed punches.',
	},
	{
		key: 'resend_users',
		action: 'resend-all-user',
		noun: 'User',
		label: 'Resend Users',
		description: 'Makes a device send all of its users again, as user and credential events.',
	},
];

function create({ key, noun, label, description, action: name }) {
	const action = actionOf(name);
	return {
		key,
		noun,
		display: { label, description },
		operation: {
			inputFields: action.fields.map(inputField),
			perform: (z, bundle) => run(z, bundle, action),
			performResume: resume,
			sample: resultSample(action),
			outputFields: resultFields(action),
		},
	};
}

const COMMAND = {
	key: 'command',
	label: 'Command',
	type: 'string',
	required: true,
	altersDynamicFields: true,
	choices: Object.fromEntries(catalog.actions.map(({ name, label }) => [name, label])),
	helpText: 'The command to send. The fields below depend on it.',
};
const COMMON = { result: [] };
const chosen = ({ inputData }) => catalog.actions.find(({ name }) => name === inputData.command);

const runCommand = {
	key: 'run_command',
	noun: 'Command',
	display: {
		label: 'Run a Command',
		description:
			'Sends any command to a device, including commands without an action of their own.',
	},
	operation: {
		inputFields: [COMMAND, (z, bundle) => (chosen(bundle)?.fields ?? []).map(inputField)],
		perform: (z, bundle) => run(z, bundle, actionOf(bundle.inputData.command)),
		performResume: resume,
		sample: resultSample(COMMON),
		outputFields: [
			...resultFields(COMMON),
			(z, bundle) => outputFields(chosen(bundle)?.result ?? []),
		],
	},
};

module.exports = [...CREATES.map(create), runCommand, ...employees];
