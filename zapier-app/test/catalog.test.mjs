import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

const require = createRequire(import.meta.url);
const catalog = require('../catalog.json');

// Adds entries that another version of the relay could have. The app is built from the catalog when it is loaded.
const [punch] = catalog.events;
const [device] = catalog.actions[0].fields;
catalog.events.push({
	...punch,
	type: 'door.opened',
	label: 'Door Opened',
	fields: [...punch.fields, { ...punch.fields[0], name: 'door', label: 'Door' }],
});
catalog.actions.push({
	...catalog.actions[0],
	name: 'open-door',
	label: 'Open Door',
	fields: [
		device,
		{ ...device, name: 'door', label: 'Door', kind: 'text', required: false },
		{ ...device, name: 'held', label: 'Held Open', kind: 'flag', example: true },
	],
	result: [{ name: 'opened_at', label: 'Opened At', type: 'string', format: 'date-time' }],
});
const App = require('../index.js');
const keysOf = (fields) => fields.map(({ key }) => key);

test('a new event appears by itself, with its fields', () => {
	const { inputFields, outputFields } = App.triggers.any_event.operation;
	assert.equal(inputFields[0].choices['door.opened'], 'Door Opened');
	const more = outputFields.at(-1)({}, { inputData: { event_types: ['door.opened'] } });
	assert.ok(keysOf(more).includes('door') && keysOf(more).includes('punch_id'));
	const { event_type: search } = Object.fromEntries(
		App.searches.find_event.operation.inputFields.map((field) => [field.key, field]),
	);
	assert.ok('door.opened' in search.choices);
});

test('a new operation appears by itself, with its fields and result', () => {
	const { inputFields, outputFields } = App.creates.run_command.operation;
	const [command, form] = inputFields;
	assert.equal(command.choices['open-door'], 'Open Door');
	const bundle = { inputData: { command: 'open-door' } };
	assert.deepEqual(
		form({}, bundle).map(({ key, type, required }) => [key, type, required]),
		[
			['device_id', 'string', true],
			['door', 'string', false],
			['held', 'boolean', true],
		],
	);
	assert.deepEqual(outputFields.at(-1)({}, bundle), [
		{ key: 'opened_at', label: 'Opened At', type: 'datetime' },
	]);
});
