import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { CamsBiometrics } from '../dist/nodes/CamsBiometrics/CamsBiometrics.node.js';
import { CamsBiometricsTrigger } from '../dist/nodes/CamsBiometricsTrigger/CamsBiometricsTrigger.node.js';

const catalog = JSON.parse(readFileSync(new URL('../nodes/catalog.json', import.meta.url)));
const NODES = { CamsBiometrics, CamsBiometricsTrigger };
const properties = new CamsBiometrics().description.properties;

function operationsOf(resource) {
	const shown = properties.find(
		(property) =>
			property.name === 'operation' && property.displayOptions.show.resource[0] === resource,
	);
	return shown.options.map(({ value }) => value);
}

/** Returns the parameters that a user sees for an operation, including those in collections. */
function parametersOf(resource, operation) {
	return properties.filter(({ displayOptions }) => {
		const show = displayOptions?.show ?? {};
		return show.resource?.includes(resource) && show.operation?.includes(operation);
	});
}

for (const [name, Node] of Object.entries(NODES)) {
	// n8n's linter only checks literals, so generated parameters are written out for it.
	test(`${name}: what is made from the catalogue keeps n8n's rules as well`, () => {
		const written = JSON.stringify(new Node().description, null, '\t')
			.replace(/^(\t*)"(\w+)":/gm, '$1$2:')
			.replace(/(inputs|outputs): \[\s*"main"\s*\]/g, '$1: [NodeConnectionTypes.Main]');
		const source = [
			"import { NodeConnectionTypes, type INodeType, type INodeTypeDescription } from 'n8n-workflow';",
			`export class ${name} implements INodeType {`,
			`	description: INodeTypeDescription = ${written};`,
			'}',
		].join('\n');
		const file = `nodes/${name}/${name}.node.ts`;
		const rules = ['@n8n/community-nodes/webhook-lifecycle-complete: off', 'quotes: off'];
		const lint = spawnSync(
			'npx',
			['eslint', '--stdin', '--stdin-filename', file, ...rules.flatMap((rule) => ['--rule', rule])],
			{ cwd: new URL('..', import.meta.url), input: source, encoding: 'utf8' },
		);
		assert.equal(lint.status, 0, lint.stdout + lint.stderr);
	});
}

test('every command of the registry is an operation of its subject', () => {
	assert.ok(catalog.actions.length > 20);
	for (const { name, subject } of catalog.actions) {
		assert.ok(operationsOf(subject).includes(name), `${subject} lacks ${name}`);
	}
});

test('every field of a command has its parameter, required ones outside the collections', () => {
	const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
	for (const action of catalog.actions) {
		const shown = parametersOf(action.subject, action.name);
		const names = shown.map(({ name }) => name);
		const additional = shown.find(({ name }) => name === 'additionalFields')?.options ?? [];
		const credentials = shown.find(({ name }) => name === 'credentials')?.options ?? [];
		for (const { name, kind, required } of action.fields) {
			const own = camel(name);
			const where = required
				? names
				: [...additional, ...credentials.flatMap(({ values }) => values)].map((one) => one.name);
			const wanted =
				required || action.name !== 'add-user'
					? kind === 'file'
						? [own, own.replace(/Data$/, 'Source'), own.replace(/Data$/, 'Binary')]
						: [own]
					: kind === 'file'
						? ['source', 'binary', 'data']
						: kind === 'index'
							? ['index']
							: [own];
			for (const one of wanted) assert.ok(where.includes(one), `${action.name} lacks ${one}`);
		}
	}
});

test('what deletes everything asks for a confirmation, and nothing else does', () => {
	for (const { name, subject, effect } of catalog.actions) {
		const asks = parametersOf(subject, name).some((property) => property.name === 'confirm');
		assert.equal(asks, effect === 'destructive', name);
	}
});

test('every event type can be chosen, with what it means', () => {
	const events = new CamsBiometricsTrigger().description.properties.find(
		({ name }) => name === 'events',
	);
	assert.deepEqual(
		events.options.map(({ value }) => value).sort(),
		['*', ...catalog.events.map(({ type }) => type)].sort(),
	);
	assert.ok(events.options.every(({ description }) => description.length > 10));
});

test('no parameter that holds a PIN is shown in clear', () => {
	const all = (list) =>
		list.flatMap((one) => [
			one,
			...all(one.values ?? (one.displayName ? (one.options ?? []) : [])),
		]);
	const pins = all(properties).filter(({ name }) => name === 'password' && name);
	const fields = pins.filter(({ type }) => type === 'string');
	assert.ok(fields.length > 0);
	assert.ok(fields.every(({ typeOptions }) => typeOptions?.password === true));
});
