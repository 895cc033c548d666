import assert from 'node:assert/strict';
import { test } from 'node:test';

import { App, api, authData, failureOf, run, serve } from './stage.mjs';

const tested = (more) => run(App.authentication.test, { authData: { ...authData, ...more } });
const find = (more) =>
	run(App.searches.find_device.operation.perform, {
		authData: { ...authData, ...more },
		inputData: { device: 'NOSUCH' },
	});

test('a connection is tested, and has a label', async () => {
	const me = await tested({});
	assert.ok(me.scopes.length > 0);
	const label = await run(App.authentication.connectionLabel, { inputData: me });
	assert.equal(label, `${me.name} at ${new URL(authData.relay_url).host}`);
	assert.deepEqual(
		await tested({ relay_url: ` ${authData.relay_url}/ `, api_key: ` ${authData.api_key} ` }),
		me,
	);
});

test('a wrong key is an expired connection, with the relay’s sentence', async () => {
	for (const call of [tested, find]) {
		const { name, message } = await failureOf(call({ api_key: 'crk_made-up-and-unknown' }));
		assert.equal(name, 'ExpiredAuthError');
		const { data } = await api('GET', '/v1/me', undefined, {
			'x-api-key': 'crk_made-up-and-unknown',
		});
		assert.equal(message, data.detail);
	}
});

test('what is no relay is told', async () => {
	const elsewhere = await serve(() => [200, { 'content-type': 'text/html' }, '<h1>Hello</h1>']);
	assert.match((await failureOf(tested({ relay_url: elsewhere }))).message, /no cams-relay at/);
	for (const relay_url of [
		'relay.example.com',
		'',
		undefined,
		'http://relay.example.com',
		'ftp://x.example',
	]) {
		assert.match((await failureOf(tested({ relay_url }))).message, /https:\/\//);
	}
	const moved = await serve((request) => [
		301,
		{ location: `https://new.example${request.url}` },
		'',
	]);
	assert.match(
		(await failureOf(tested({ relay_url: moved }))).message,
		/redirects to https:\/\/new\.example/,
	);
});

test('a relay that can’t be reached is an error with its address, and without what was sent', async () => {
	const { message, status, name } = await failureOf(find({ relay_url: 'http://127.0.0.1:9' }));
	assert.deepEqual([name, status], ['AppError', 503]);
	assert.match(message, /can't be reached at http:\/\/127\.0\.0\.1:9 \(ECONNREFUSED\)/);
	assert.doesNotMatch(message, /What happened|crk_/);
});

test('a busy relay is asked again later', async () => {
	for (const status of [429, 503]) {
		const busy = await serve(() => [
			status,
			{ 'retry-after': '7', 'content-type': 'application/problem+json' },
			JSON.stringify({ status, detail: 'Busy just now.' }),
		]);
		const { name, message, delay } = await failureOf(find({ relay_url: busy }));
		assert.deepEqual([name, message, delay], ['ThrottledError', 'Busy just now.', 7]);
	}
	const operation = App.creates.run_command.operation;
	for (const [command, name] of [
		['enable-user', 'ThrottledError'],
		['delete-log-all', 'AppError'], // Zapier must not repeat it automatically
	]) {
		const busy = await serve(() => [503, {}, '']);
		const bundle = {
			authData: { ...authData, relay_url: busy },
			inputData: { command, device_id: 'X', user_id: '1', confirm: true },
		};
		assert.equal((await failureOf(run(operation.perform, bundle))).name, name);
	}
	// This command has ended with 503, so it isn't retried.
	const ended = await serve(() => [
		503,
		{ 'content-type': 'application/problem+json' },
		JSON.stringify({ status: 503, detail: 'The device is offline.', command_id: 'cmd_1' }),
	]);
	const inputData = { device_id: 'X', user_id: '1' };
	const failed = await failureOf(
		run(App.creates.enable_user.operation.perform, {
			authData: { ...authData, relay_url: ended },
			inputData,
		}),
	);
	assert.equal(failed.name, 'AppError');
	assert.equal(failed.message, 'The device is offline. Command: cmd_1.');
	const proxy = await serve(() => [502, { 'content-type': 'text/html' }, '<h1>Bad Gateway</h1>']);
	const { message, status } = await failureOf(find({ relay_url: proxy }));
	assert.deepEqual([message, status], ['The relay answered with HTTP status 502.', 502]);
});

test('what is wrong is said in the relay’s sentence, with its field and status', async () => {
	const { data: key } = await api('POST', '/v1/api-keys', {
		name: 'reads',
		scopes: ['events:read'],
	});
	const add = (inputData, more = {}) =>
		run(App.creates.add_user.operation.perform, { inputData, ...more });
	const forbidden = await failureOf(
		add({ device_id: 'X', user_id: '1' }, { authData: { ...authData, api_key: key.key } }),
	);
	assert.deepEqual([forbidden.name, forbidden.status], ['AppError', 403]);
	assert.match(forbidden.message, /actions:write/);
	const unknown = await failureOf(add({ device_id: 'NOSUCH', user_id: '1' }));
	assert.equal(unknown.status, 422);
	assert.match(unknown.message, /device_id: 'NOSUCH' is not a registered device/);
});

test('a body is sent whole, with its length', async () => {
	const seen = [];
	const relay = await serve((request, body) => {
		seen.push([request.headers, body.toString()]);
		return [200, { 'content-type': 'application/json' }, '{"status": "completed"}'];
	});
	await run(App.creates.enable_user.operation.perform, {
		authData: { ...authData, relay_url: relay },
		inputData: { device_id: 'Zoë’s gate', user_id: '1' },
	});
	const [[headers, body]] = seen;
	assert.deepEqual(JSON.parse(body), { device_id: 'Zoë’s gate', user_id: '1' });
	assert.equal(Number(headers['content-length']), Buffer.byteLength(body));
	assert.equal(headers['transfer-encoding'], undefined);
});
