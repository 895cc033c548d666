/** Checks that Zapier makes before it publishes an app, and that `zapier-platform validate` doesn't make. */

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

const require = createRequire(import.meta.url);
const App = require('../index.js');
const { prepareApp, validateApp } = require('zapier-platform-core/src/tools/schema');
const catalog = require('../catalog.json');
const { dependencies } = require('../package.json');

const parts = { triggers: App.triggers, creates: App.creates, searches: App.searches };
const all = Object.entries(parts).flatMap(([kind, made]) =>
	Object.values(made).map((part) => ({ kind, ...part })),
);
const visible = all.filter(({ display }) => !display.hidden);
const hooks = Object.values(App.triggers).filter(({ operation }) => operation.type === 'hook');
const hidden = Object.values(App.triggers).filter(({ display }) => display.hidden);

/** Returns all fields, including those that depend on another field, for each choice of that field. */
async function fieldsOf({ operation }, name) {
	const given = operation[name] ?? [];
	const fields = given.filter((one) => typeof one !== 'function');
	const decides = (operation.inputFields ?? []).find((field) => field.altersDynamicFields);
	for (const make of given.filter((one) => typeof one === 'function')) {
		for (const choice of Object.keys(decides.choices)) {
			const value = decides.list ? [choice] : choice;
			const bundle = { inputData: { [decides.key]: value } };
			fields.push(...(await make({}, bundle)));
		}
	}
	return fields;
}

const CREDENTIAL = /api_?key|auth|jwt|passw|pswd|secret|token|signature|cookie/i;
const SMALL = /^(a|an|and|as|at|by|for|from|in|of|on|or|the|to|until|with|without)$/;

function assertTitle(label) {
	assert.match(label, /^.{2,64}$/, label);
	assert.doesNotMatch(label, /zapier/i);
	for (const [index, word] of label.split(/[\s/]+/).entries()) {
		const isTitle = /^[A-Z0-9(]/.test(word) || (index > 0 && SMALL.test(word));
		assert.ok(isTitle, `“${word}” of “${label}”`);
	}
}

test('the schema has nothing to say', () => {
	assert.deepEqual(validateApp(prepareApp(App)), []);
	assert.equal(App.platformVersion, dependencies['zapier-platform-core']);
});

test('every URL is https', () => {
	const texts = JSON.stringify(prepareApp(App), (_, value) =>
		typeof value === 'function' ? value.toString() : value,
	);
	assert.match(texts, /https:\/\//);
	assert.doesNotMatch(texts, /http:\/\//);
});

test('flags: what is left empty is the app’s own concern', () => {
	assert.equal(App.flags.cleanInputData, false);
});

test('the connection says where to get a key, and has a label', () => {
	const { fields, connectionLabel } = App.authentication;
	assert.equal(typeof connectionLabel, 'function');
	for (const { key, label, helpText, required } of fields) {
		assertTitle(label);
		assert.ok(required, key);
		assert.match(helpText, /\[[^\]]+\]\(https:\/\/[^)]+\)/, key);
	}
	const secrets = fields.filter(({ type }) => type === 'password').map(({ key }) => key);
	assert.deepEqual(secrets, ['api_key']);
});

for (const part of all) {
	const { kind, key, noun, display, operation } = part;
	test(`${kind}.${key}: key, noun, label and description`, () => {
		assert.equal(parts[kind][key].key, key);
		assert.match(key, /^[a-z]+(_[a-z]+)*$/);
		assertTitle(noun);
		assertTitle(display.label);
		assert.match(display.description, /^[A-Z].{38,138}\.$/);
		assert.doesNotMatch(display.description, /zapier/i);
		if (kind === 'triggers' && !display.hidden) {
			assert.match(display.description, /^Triggers when .+\.$/);
		}
	});

	test(`${kind}.${key}: input fields`, async () => {
		const seen = new Set();
		for (const field of await fieldsOf(part, 'inputFields')) {
			assertTitle(field.label);
			assert.doesNotMatch(field.key, CREDENTIAL);
			assert.match(field.helpText, /^[A-Z].{9,}[.?!]$/s, field.key);
			assert.doesNotMatch(field.helpText, /zapier/i);
			assert.doesNotMatch(field.label, /\bIDs?$/);
			if (/_ids?$/.test(field.key)) assert.ok(field.dynamic, `${field.key} has no dropdown`);
			for (const reference of [field.dynamic, field.search].filter(Boolean)) {
				assertRefers(reference, reference === field.dynamic ? hidden : Object.values(App.searches));
			}
			Object.values(field.choices ?? {}).forEach((label) => assert.match(label, /^[A-Z]/));
			seen.add(field.key);
		}
		if (kind !== 'triggers') assert.ok(seen.size > 0);
	});

	test(`${kind}.${key}: output fields and sample`, async () => {
		const fields = await fieldsOf(part, 'outputFields');
		const known = new Map(fields.map((field) => [field.key, field]));
		assert.ok(fields.length > 0);
		for (const { key: name, label, type } of fields) {
			assertTitle(label);
			assert.ok(type, name);
		}
		assert.ok(Object.keys(operation.sample).length > 1);
		for (const [name, value] of Object.entries(operation.sample)) {
			const lines = Array.isArray(value)
				? Object.keys(value[0]).map((one) => `${name}[]${one}`)
				: [name];
			for (const line of lines) assert.ok(known.has(line), line);
			if (known.get(name)?.type === 'datetime') {
				assert.match(value, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/);
			}
		}
	});
}

function assertRefers(reference, where) {
	const [key, ...names] = reference.split('.');
	const found = where.find((one) => one.key === key);
	assert.ok(found, reference);
	for (const name of names) assert.ok(name in found.operation.sample, reference);
}

test('every hook can be subscribed, unsubscribed and tried, and every trigger’s sample has an id', () => {
	assert.ok(hooks.length >= 8);
	for (const { key, operation } of hooks) {
		for (const name of ['perform', 'performList', 'performSubscribe', 'performUnsubscribe']) {
			assert.equal(typeof operation[name], 'function', `${key}.${name}`);
		}
	}
	for (const { key, operation } of Object.values(App.triggers)) {
		assert.ok(operation.sample.id, key);
	}
});

test('what a dropdown needs is hidden, and nothing else is', () => {
	assert.deepEqual(
		hidden.map(({ key }) => key),
		['device_list', 'user_list', 'all_user_list', 'employee_list'],
	);
	for (const { operation } of hidden) assert.ok(operation.canPaginate);
});

test('labels are told apart', () => {
	const labels = visible.map(({ kind, display }) => `${kind} ${display.label}`);
	assert.equal(new Set(labels).size, labels.length);
});

test('what deletes something warns about it', () => {
	const deletes = Object.values(App.creates).filter(({ display }) => /delete/i.test(display.label));
	assert.deepEqual(
		deletes.map(({ key }) => key),
		['delete_user'],
	);
	for (const { display } of deletes) assert.match(display.description, /can't be undone/);
});

test('no trigger is just about something “updated”, and the name is not that of another company', () => {
	for (const { display } of visible) assert.doesNotMatch(display.label, /updated?$/i);
	const texts = JSON.stringify(prepareApp(App));
	assert.doesNotMatch(texts, /Cams Biometrics/);
});

test('every action can be resumed, and what can’t be undone asks first', async () => {
	for (const { key, operation } of Object.values(App.creates)) {
		const waits = !key.endsWith('_employee');
		assert.equal(typeof operation.performResume, waits ? 'function' : 'undefined', key);
	}
	for (const { name, effect } of catalog.actions) {
		const bundle = { inputData: { command: name } };
		const fields = await App.creates.run_command.operation.inputFields[1]({}, bundle);
		const asks = fields.some(({ key, required }) => key === 'confirm' && required);
		assert.equal(asks, effect === 'destructive', name);
	}
});
