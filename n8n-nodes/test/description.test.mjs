import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { CamsRelayApi } from '../dist/credentials/CamsRelayApi.credentials.js';
import { CamsBiometrics } from '../dist/nodes/CamsBiometrics/CamsBiometrics.node.js';
import { SIMPLE_FIELDS, chosenFields } from '../dist/nodes/CamsBiometrics/output.js';
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

test('an AI tool returns simplified results, all fields, or those that were selected', () => {
	const shown = parametersOf('device', 'get').filter(
		({ displayOptions }) => displayOptions.show['@tool']?.[0],
	);
	assert.deepEqual(
		shown.map(({ displayName }) => displayName),
		['Output', 'Fields'],
	);
	const simplify = parametersOf('device', 'get').find(({ name }) => name === 'simplify');
	assert.deepEqual(simplify.displayOptions.hide, { '@tool': [true] });
	const row = Object.fromEntries(catalog.resources.device.map(({ value }) => [value, value]));
	const fields = (type, parameters) => {
		const node = {
			getNode: () => ({ type }),
			getNodeParameter: (name, _, fallback) => parameters[name] ?? fallback,
		};
		return Object.keys(chosenFields.call(node, 'device', row, 0));
	};
	assert.equal(fields('x.camsBiometricsTool', {}).length, 10);
	assert.equal(fields('x.camsBiometricsTool', { output: 'raw' }).length, Object.keys(row).length);
	const selected = { output: 'selected', outputFields: ['label'] };
	assert.deepEqual(fields('x.camsBiometricsTool', selected), ['id', 'label']);
	assert.equal(fields('x.camsBiometrics', selected).length, 10);
	assert.equal(fields('x.camsBiometrics', { simplify: false }).length, Object.keys(row).length);
});

test('simplified results have fields that the relay returns', () => {
	for (const [resource, names] of Object.entries(SIMPLE_FIELDS)) {
		const known =
			resource === 'event'
				? catalog.events.flatMap(({ fields }) => fields.map(({ name }) => name))
				: catalog.resources[resource].map(({ value }) => value);
		assert.deepEqual(
			names.filter((name) => !known.includes(name)),
			[],
		);
		assert.ok(resource === 'event' || names.length === 10, resource);
	}
});

test('names of actions have no article, and every operation has one', () => {
	const operations = properties.filter(({ name }) => name === 'operation');
	for (const { name, action } of operations.flatMap(({ options }) => options)) {
		assert.match(action, /^[A-Z][^A-Z]/, name);
		assert.doesNotMatch(action, /\b(a|an|the)\b/, name);
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

/** Returns parameters, with those in collections. */
function all(list) {
	return list.flatMap((one) => [
		one,
		...all(one.values ?? (one.displayName ? (one.options ?? []) : [])),
	]);
}

test('every placeholder is an example, or the text of the button that adds something', () => {
	const nodes = Object.values(NODES).flatMap((Node) => new Node().description.properties);
	const parameters = all([...nodes, ...new CamsRelayApi().properties]);
	const modes = parameters.flatMap(({ modes = [] }) => modes);
	const placeholders = [...parameters, ...modes].flatMap(({ placeholder = [] }) => placeholder);
	assert.ok(placeholders.length > 20);
	for (const placeholder of placeholders) assert.match(placeholder, /^(e\.g\. .|Add )/);
});

test('no parameter that holds a PIN is shown in clear', () => {
	const pins = all(properties).filter(({ name }) => name === 'password' && name);
	const fields = pins.filter(({ type }) => type === 'string');
	assert.ok(fields.length > 0);
	assert.ok(fields.every(({ typeOptions }) => typeOptions?.password === true));
});
