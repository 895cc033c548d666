import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import {
	App,
	api,
	authData,
	failureOf,
	hook,
	newMachine,
	run,
	runStep,
	serve,
	until,
} from './stage.mjs';

const { actions } = createRequire(import.meta.url)('../catalog.json');
const actionOf = (name) => actions.find((action) => action.name === name);
const ACTIONS = {
	add_user: 'add-user',
	enable_user: 'enable-user',
	disable_user: 'disable-user',
	delete_user: 'delete-user',
	enroll_fingerprint: 'enroll-fingerprint',
	set_access_time: 'update-access-time',
	load_punch_log: 'load-log',
	resend_punches: 'resend-attendance',
	resend_users: 'resend-all-user',
};
const TIMES = {
	start_time: '2026-11-01T00:00:00',
	end_time: '2026-11-24T23:59:59',
	start: '2026-11-01T00:00:00',
	end: '2026-12-24T23:59:59',
};

/** Returns a body with every field of an action, as for the API. */
function full(action, machine) {
	const body = Object.fromEntries(
		action.fields.map(({ name, example }) => [name, TIMES[name] ?? example]),
	);
	return { ...body, device_id: machine.id, ...(body.user_id && { user_id: userOf(action) }) };
}
const userOf = ({ name }) => (name.startsWith('add-user') ? '7' : '100');

/** Returns the same values as for Zapier's form. */
function form({ password, ...body }) {
	return { ...body, ...(password !== undefined && { pin: password }) };
}

/** A step must send the gateway the same command as a call to the API. */
async function compare(action, perform, inputData) {
	const [machine, other] = [await newMachine(), await newMachine()];
	const answer = await api('POST', `/v1/actions/${action.name}`, full(action, other));
	assert.equal(answer.status, 200, JSON.stringify(answer.data));
	const result = await run(perform, { inputData: inputData(form(full(action, machine))) });
	assert.equal(result.status, 'completed');
	assert.deepEqual(Object.keys(result).sort(), Object.keys(answer.data).sort());
	const received = await machine.received();
	assert.equal(received.length, 1);
	assert.deepEqual(received, await other.received());
	return result;
}

async function assertFits(result, outputFields, inputData) {
	const fields = await run(outputFields, { inputData });
	const known = new Set(fields.map(({ key }) => key.split('[]')[0]));
	assert.deepEqual(
		[...Object.keys(result)].filter((name) => !known.has(name)),
		[],
	);
}

test('these tests know every action, except those for employees', () => {
	assert.deepEqual(
		Object.keys(App.creates)
			.filter((key) => !key.endsWith('_employee'))
			.sort(),
		[...Object.keys(ACTIONS), 'run_command'].sort(),
	);
});

for (const [key, name] of Object.entries(ACTIONS)) {
	test(`${key} sends what the API would`, async () => {
		const { operation } = App.creates[key];
		const result = await compare(actionOf(name), operation.perform, (body) => body);
		await assertFits(result, operation.outputFields, {});
	});
}

for (const action of actions) {
	test(`run_command ${action.name} sends what the API would`, async () => {
		const { operation } = App.creates.run_command;
		const chosen = { command: action.name };
		const result = await compare(action, operation.perform, (body) => ({ ...chosen, ...body }));
		await assertFits(result, operation.outputFields, chosen);
		const fields = await run(operation.inputFields, { inputData: chosen });
		assert.equal(fields.length, action.fields.length + 1);
	});
}

for (const action of actions.filter(({ effect }) => effect === 'destructive')) {
	test(`${action.name} does nothing without the confirmation`, async () => {
		const machine = await newMachine();
		for (const confirm of [false, '', undefined, 'no']) {
			const inputData = { command: action.name, device_id: machine.id, confirm };
			const refused = await failureOf(
				run(App.creates.run_command.operation.perform, { inputData }),
			);
			assert.equal(refused.code, 'not_confirmed');
		}
		assert.deepEqual(await machine.received(), []);
	});
}

test('what was left empty is left out, and numbers are texts where the machine has texts', async () => {
	const machine = await newMachine();
	const inputData = {
		device_id: ` ${machine.id} `,
		user_id: 71,
		first_name: '',
		card_number: 1234,
		face_data: null,
		fingerprint_index: '',
	};
	const result = await run(App.creates.add_user.operation.perform, { inputData });
	assert.equal(result.user_id, '71');
	const [{ operation, body }] = await machine.received();
	assert.equal(operation, 'AddUserWithCard');
	assert.deepEqual(body.Add.Template, [{ Type: 'Card', UserID: '71', Data: '1234' }]);
});

test('files are read from where they are, and typed Base64 is taken as it is', async () => {
	const machine = await newMachine();
	const photo = Buffer.from(
		[0xff, 0xd8, 0xff, 0xe0, ...Array(5_000).keys()].map((one) => one % 256),
	);
	const files = {
		'/photo.jpg': photo,
		'/typed.txt': `${photo.toString('base64')}\n`, // the file that Zapier creates from typed text
		'/large': Buffer.alloc(12 * 1024 * 1024),
	};
	const seen = [];
	const server = await serve((request) => {
		seen.push(request.headers.authorization);
		const content = files[request.url];
		return content ? [200, {}, content] : [404, {}, 'no such file'];
	});
	const add = (user_id, face_data) =>
		run(App.creates.add_user.operation.perform, {
			inputData: { device_id: machine.id, user_id, face_data },
		});
	await add('1', `${server}/photo.jpg`);
	await add('2', `${server}/typed.txt`);
	await add('3', photo.toString('base64'));
	const sent = (await machine.received()).map(({ body }) => JSON.stringify(body));
	assert.equal(sent.length, 3);
	for (const body of sent) assert.ok(body.includes(photo.toString('base64')));
	assert.deepEqual(seen, [undefined, undefined]); // the relay's key was not sent to another server

	const missing = await failureOf(add('4', `${server}/missing`));
	assert.match(missing.message, /The file of Face can't be read: status 404/);
	const ofRelay = await failureOf(add('4', `${authData.relay_url}/v1/users/100`));
	assert.match(ofRelay.message, /status 401/);
	const large = await failureOf(add('4', `${server}/large`));
	assert.match(large.message, /too large/);
	const ftp = await failureOf(add('4', 'ftp://files.example.com/photo.jpg'));
	assert.match(ftp.message, /Face can't be read from a URL that starts with ftp:\/\//);
	assert.equal((await machine.received()).length, 3);
});

test('no PIN, template, card number or key is in a log, also not of what failed', async () => {
	const machine = await newMachine();
	const template = Buffer.from('a template that nobody may read'.repeat(5)).toString('base64');
	const inputData = {
		device_id: machine.id,
		user_id: '66',
		pin: '86420975',
		card_number: '7391846205',
		fingerprint_data: template,
	};
	const lines = [];
	const customLogger = (...line) => lines.push(JSON.stringify(line));
	const add = () => runStep('creates.add_user.operation.perform', { inputData }, { customLogger });
	assert.equal((await add()).results.status, 'completed');
	inputData.pin = 'no digits 86420975';
	const refused = await failureOf(add());
	assert.match(refused.message, /PIN: must be 1 to 32 digits/);
	assert.doesNotMatch(refused.message, /password/);
	const { url } = await hook();
	const bundle = { inputData: {}, targetUrl: url };
	const trigger = 'triggers.new_punch.operation';
	const made = await runStep(`${trigger}.performSubscribe`, bundle, { customLogger });
	await runStep(
		`${trigger}.performUnsubscribe`,
		{ ...bundle, subscribeData: made.results },
		{ customLogger },
	);
	const log = [...lines, JSON.stringify(refused)].join('\n');
	assert.match(log, /\/v1\/actions\/add-user/);
	const secrets = ['86420975', template, inputData.card_number, authData.api_key];
	for (const secret of [...secrets, made.results.secret]) assert.ok(!log.includes(secret), secret);
});

// Commands that take longer than a step may

/** Runs a step of a live Zap that enables user 100 on an offline device. */
async function asleep({ inputData, ...more } = {}) {
	const machine = await newMachine();
	await machine.change({ online: false });
	const callback = await hook();
	const bundle = {
		inputData: { device_id: machine.id, user_id: '100', ...inputData },
		...more,
	};
	const step = await runStep('creates.enable_user.operation.perform', bundle, {
		callback_url: callback.url,
	});
	return { machine, callback, step };
}

const subscriptionsTo = async (url) =>
	(await api('GET', '/v1/subscriptions?limit=200')).data.data.filter(
		({ target_url: target }) => target === url,
	);

/** Resumes the step, as Zapier does when the callback URL is called. */
async function wake({ callback, step }) {
	const request = await callback.next(30);
	return await run(App.creates.enable_user.operation.performResume, {
		inputData: {},
		outputData: step.results,
		rawRequest: request,
		cleanedRequest: JSON.parse(request.content),
	});
}

test('an offline machine is waited for by a callback', async () => {
	const sleeper = await asleep();
	const { step, callback, machine } = sleeper;
	assert.equal(step.status, 'CALLBACK');
	assert.notEqual(step.results.status, 'completed');
	const [waiting, ...more] = await subscriptionsTo(callback.url);
	assert.deepEqual(more, []);
	// If the step is never resumed, nothing else deletes it.
	const hours = (Date.parse(waiting.expires_at) - Date.now()) / 3_600_000;
	assert.ok(24 < hours && hours <= 25, String(hours));
	assert.equal(callback.delivered.length, 0);
	await machine.change({ online: true });
	const result = await wake(sleeper);
	assert.equal(result.status, 'completed');
	assert.equal(result.command_id, step.results.command_id);
	const { data: direct } = await api('POST', '/v1/actions/enable-user', {
		device_id: machine.id,
		user_id: '100',
	});
	assert.deepEqual(Object.keys(result).sort(), Object.keys(direct).sort());
	assert.deepEqual(await subscriptionsTo(callback.url), []);
});

test('a command that fails while it is waited for fails the step, with the sentence', async () => {
	const sleeper = await asleep({ inputData: { user_id: '9999' } });
	await sleeper.machine.change({ online: true });
	const failed = await failureOf(wake(sleeper));
	assert.equal(failed.name, 'AppError');
	assert.match(failed.message, /^There is no user with this ID on the device/);
	assert.ok(failed.message.includes(sleeper.step.results.command_id));
	assert.deepEqual(await subscriptionsTo(sleeper.callback.url), []);
});

test('a command that ends before the subscription is there wakes the step all the same', async () => {
	let machine;
	const relay = await serve(async (request, body) => {
		if (request.url === '/v1/subscriptions') {
			await machine.change({ online: true });
			await until(async () => {
				const path = `/v1/commands?device_id=${machine.id}`;
				return (await api('GET', path)).data.data[0].status === 'completed';
			}, 30);
		}
		const { authorization, prefer, ...headers } = request.headers;
		const answer = await fetch(`${authData.relay_url}${request.url}`, {
			method: request.method,
			headers: {
				authorization,
				...(prefer && { prefer }),
				'content-type': headers['content-type'] ?? 'text/plain',
			},
			body: body.length ? body : undefined,
		});
		const content = await answer.text();
		return [answer.status, { 'content-type': answer.headers.get('content-type') }, content];
	});
	machine = await newMachine();
	await machine.change({ online: false });
	const callback = await hook();
	const step = await runStep(
		'creates.enable_user.operation.perform',
		{
			authData: { ...authData, relay_url: relay },
			inputData: { device_id: machine.id, user_id: '100' },
		},
		{ callback_url: callback.url },
	);
	assert.equal(step.status, 'CALLBACK');
	assert.equal((await wake({ callback, step })).status, 'completed');
});

test('in the editor a test shows how far the command is, and nothing waits', async () => {
	const { step, callback, machine } = await asleep({ meta: { isLoadingSample: true } });
	assert.notEqual(step.status, 'CALLBACK');
	assert.notEqual(step.results.status, 'completed');
	assert.ok(step.results.command_id);
	assert.deepEqual(await subscriptionsTo(callback.url), []);
	await machine.change({ online: true });
});

test('a key that may not subscribe says that the command is under way', async () => {
	const { data: key } = await api('POST', '/v1/api-keys', {
		name: 'commands only',
		scopes: ['actions:read', 'actions:write'],
	});
	const failed = await failureOf(asleep({ authData: { ...authData, api_key: key.key } }));
	assert.match(failed.message, /^Command cmd_\w+ is in progress, .*subscriptions:write/);
});
