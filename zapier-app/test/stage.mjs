/** Runs the app in Zapier's core with a real relay, the simulator, and a small stand-in for Zapier's servers. */

import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

const { RELAY_URL, RELAY_API_KEY, CONNECTION_KEY, SIMULATOR_URL } = process.env;
if (!RELAY_URL)
	throw new Error('These tests are run by pytest tests/zapier, which starts a relay.');

export const authData = { relay_url: RELAY_URL, api_key: CONNECTION_KEY };

// Zapier's side

/** Starts a server that is closed after the tests. `answer(request, body)` returns [status, headers, content]. */
export async function serve(answer) {
	const server = createServer(async (request, response) => {
		const parts = [];
		for await (const part of request) parts.push(part);
		const [status, headers, content] = await answer(request, Buffer.concat(parts));
		response.writeHead(status, headers).end(content);
	});
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	server.unref();
	return `http://127.0.0.1:${server.address().port}`;
}

/** The requests that z.cursor and z.stashFile send to Zapier, which stores a dropdown's cursor and files. */
export const stashed = [];
let cursor = null;
const zapier = await serve((request, body) => {
	if (request.url === '/files') {
		stashed.push(body);
		return [204, {}, ''];
	}
	const { id, method, params } = JSON.parse(body);
	if (method === 'set_cursor') [cursor] = params;
	const results = {
		get_cursor: cursor,
		set_cursor: null,
		get_presigned_upload_post_data: { url: `${zapier}/files`, fields: { key: 'stashed' } },
	};
	return [
		200,
		{ 'content-type': 'application/json' },
		JSON.stringify({ id, result: results[method] }),
	];
});
// Core reads them when it is loaded. With `test`, its checks of results throw, as in the editor.
Object.assign(process.env, {
	NODE_ENV: 'test',
	ZAPIER_BASE_ENDPOINT: zapier,
	ZAPIER_DEPLOY_KEY: 'made-up',
});

const require = createRequire(import.meta.url);
const core = require('zapier-platform-core');
const createLambdaHandler = require('zapier-platform-core/src/tools/create-lambda-handler');
export const App = require('../index.js');

const appTester = core.createAppTester(App);

/** Runs a function of the app as Zapier does, and returns its result. */
export const run = (method, bundle = {}) => appTester(method, { authData, meta: {}, ...bundle });

/** Does the same with a callback URL and the log, unlike createAppTester. Returns the result's envelope. */
export async function runStep(method, bundle, more = {}) {
	return await createLambdaHandler(App)({
		command: 'execute',
		method,
		bundle: { authData, meta: {}, ...bundle },
		...more,
	});
}

/** Returns the error of a call that must fail: its class and, from Zapier's JSON, the message, code and status. */
export async function failureOf(promise) {
	let error;
	try {
		await promise;
	} catch (caught) {
		error = caught;
	}
	if (!error) throw new Error('it did not fail');
	let parts = {};
	try {
		parts = JSON.parse(error.message);
	} catch {
		parts.message = error.message;
	}
	return { name: error.name, ...parts };
}

/** A hook's URL, and the deliveries to it as Zapier's bundles. */
export async function hook() {
	const delivered = [];
	const url = await serve((request, body) => {
		delivered.push(rawRequest(request.headers, body.toString()));
		return [200, {}, ''];
	});
	const next = (seconds = 10) => until(() => delivered.shift(), seconds);
	return { url: `${url}/hooks/standard/1/`, delivered, next };
}

function rawRequest(headers, content) {
	const title = (name) => name.replace(/(^|-)\w/g, (letter) => letter.toUpperCase());
	return {
		method: 'POST',
		querystring: '',
		headers: Object.fromEntries(
			Object.entries(headers).map(([name, value]) => [`Http-${title(name)}`, value]),
		),
		content,
	};
}

/** Returns a delivery that is signed with a secret at a given time. */
export function signed(secret, content, seconds = Math.floor(Date.now() / 1000)) {
	const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
	const id = `evt_${randomUUID()}`;
	const value = createHmac('sha256', key).update(`${id}.${seconds}.${content}`).digest('base64');
	return rawRequest(
		{
			'webhook-id': id,
			'webhook-timestamp': String(seconds),
			'webhook-signature': `v1,${value}`,
		},
		content,
	);
}

/** Waits until `what()` returns a true value, and returns it. */
export async function until(what, seconds = 10) {
	const deadline = Date.now() + 1000 * seconds;
	for (;;) {
		const value = await what();
		if (value) return value;
		if (Date.now() > deadline) throw new Error(`nothing came within ${seconds} s`);
		await sleep(20);
	}
}

// The relay and its devices

async function http(method, url, body, headers = {}) {
	const response = await fetch(url, {
		method,
		headers: { 'content-type': 'application/json', ...headers },
		body: body && JSON.stringify(body),
	});
	const text = await response.text();
	return { status: response.status, data: text ? JSON.parse(text) : null };
}

/** Calls the relay's API directly, without the app. */
export const api = (method, path, body, headers) =>
	http(method, `${RELAY_URL}${path}`, body, { 'x-api-key': RELAY_API_KEY, ...headers });

async function control(method, path, body) {
	const { status, data } = await http(method, `${SIMULATOR_URL}/control/devices${path}`, body);
	if (status >= 300) throw new Error(`${path}: ${data?.detail}`);
	return data;
}

/** Adds a simulated device that is registered in the relay and has reported user 100. */
export async function newMachine() {
	const id = `ZAP${randomBytes(4).toString('hex')}`;
	const token = randomBytes(16).toString('hex');
	await control('POST', '', {
		stgid: id,
		auth_token: token,
		delay_seconds: 0,
		enroll_seconds: 0.05,
	});
	const { status } = await api('POST', '/v1/devices', {
		device_id: id,
		auth_token: token,
		gateway_url: `${SIMULATOR_URL}/external/api3.0/biometric`,
		label: `Gate ${id}`,
	});
	if (status !== 201) throw new Error(`registering answered ${status}`);
	const machine = {
		id,
		act: (action, body) => control('POST', `/${id}/${action}`, body),
		change: (body) => control('PATCH', `/${id}`, body),
		/** Returns the commands that it received, without the values that differ each time. */
		received: async () =>
			(await control('GET', `/${id}/commands`)).map(({ operation, body }) => {
				const { OperationID, Time, AuthToken, ...rest } = body;
				if (!OperationID || !Time || !AuthToken) throw new Error('no document of the protocol');
				return { operation, body: rest };
			}),
	};
	await machine.act('user', {
		user_id: '100',
		first_name: 'Manu',
		last_name: 'Mona',
		credentials: ['card'],
	});
	await until(async () => (await api('GET', `/v1/users?device_id=${id}`)).data.data.length === 1);
	return machine;
}
