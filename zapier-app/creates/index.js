'use strict';

const { actionOf, catalog, outputFields } = require('../catalog');
const { resultFields, resultSample, resume, run } = require('./command');
const { inputField } = require('./fields');

/** The commands that have an action of their own; Run a Command has all of them. */
const CREATES = [
	{
		key: 'add_user',
		action: 'add-user',
		noun: 'User',
		label: 'Add User',
		description:
			'Adds a user to a machine with any credentials: card, PIN, fingerprint, face, palm or photo.',
	},
	{
		key: 'enable_user',
		action: 'enable-user',
		noun: 'User',
		label: 'Enable User',
		description: 'Lets a disabled user authenticate on a machine again.',
	},
	{
		key: 'disable_user',
		action: 'disable-user',
		noun: 'User',
		label: 'Disable User',
		description: 'Blocks a user on a machine; name and credentials are kept.',
	},
	{
		key: 'delete_user',
		action: 'delete-user',
		noun: 'User',
		label: 'Delete User',
		description: 'Deletes a user and all of their credentials from a machine.',
	},
	{
		key: 'enroll_fingerprint',
		action: 'enroll-fingerprint',
		noun: 'Fingerprint',
		label: 'Enroll Fingerprint',
		description: 'Has a machine take the fingerprint of a user, who must stand in front of it.',
	},
	{
		key: 'set_access_time',
		action: 'update-access-time',
		noun: 'Access Time',
		label: 'Set Access Time',
		description: 'Sets from when until when a user can authenticate on a machine.',
	},
	{
		key: 'load_punch_log',
		action: 'load-log',
		noun: 'Punch Log',
		label: 'Load Punch Log',
		description: 'Reads the punches of a time range from a machine, as line items.',
	},
	{
		key: 'resend_punches',
		action: 'resend-attendance',
		noun: 'Punch',
		label: 'Resend Punches',
		description:
			'Has a machine send its punches of a time range again, to recover what was missed.',
	},
	{
		key: 'resend_users',
		action: 'resend-all-user',
		noun: 'User',
		label: 'Resend Users',
		description: 'Has a machine send all of its users again, as events of users and credentials.',
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
	helpText: 'What the machine is to do. The fields below follow from it.',
};
const COMMON = { result: [] };
const chosen = ({ inputData }) => catalog.actions.find(({ name }) => name === inputData.command);

const runCommand = {
	key: 'run_command',
	noun: 'Command',
	display: {
		label: 'Run a Command',
		description:
			'Has a machine carry out any of its commands, also those that have no action of their own.',
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

module.exports = [...CREATES.map(create), runCommand];
