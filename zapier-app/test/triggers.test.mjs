import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
	App,
	api,
	authData,
	failureOf,
	hook,
	newMachine,
	run,
	signed,
	stashed,
	until,
} from './stage.mjs';

/** Has the relay send a sample, for events that it only sends on its own after some time. */
const sampled = (type) => (_, id) =>
	api('POST', `/v1/subscriptions/${id}/test`, { event_type: type });
const SAMPLED = {
	attendance_day_changed: sampled('attendance.day_changed'),
	device_silent: sampled('device.silent'),
	device_back: sampled('device.back'),
};

/** Causes each trigger's event on a device. */
const CAUSES = {
	new_punch: (machine) => machine.act('punch', { user_id: '100', type: 'check_out' }),
	new_attendance_photo: (machine) => machine.act('photo', { user_id: '100' }),
	user_updated: (machine) => machine.act('user', { user_id: '100', first_name: 'Asha' }),
	user_deleted: (machine) => machine.act('delete-user', { user_id: '100' }),
	credential_updated: (machine) => machine.act('user', { user_id: '100', credentials: ['face'] }),
	device_clock_changed: (machine) => machine.act('time', { shift_seconds: 3600 }),
	command_finished: (machine) =>
		api('POST', '/v1/actions/enable-user', { device_id: machine.id, user_id: '100' }),
	any_event: (machine) => machine.act('punch', { user_id: '100' }),
	unknown_user: (machine) => machine.act('punch', { user_id: '404' }),
	...SAMPLED,
};
const TYPES = {
	new_punch: ['attendance.punch'],
	new_attendance_photo: ['attendance.photo'],
	user_updated: ['user.updated'],
	user_deleted: ['user.deleted'],
	credential_updated: ['credential.updated'],
	device_clock_changed: ['device.time_changed'],
	command_finished: ['command.completed', 'command.failed', 'command.unknown', 'command.cancelled'],
	any_event: ['*'],
	unknown_user: ['user.unknown'],
	attendance_day_changed: ['attendance.day_changed'],
	device_silent: ['device.silent'],
	device_back: ['device.back'],
};
const hooks = Object.values(App.triggers).filter(({ operation }) => operation.type === 'hook');

async function subscribed(operation, inputData) {
	const target = await hook();
	const bundle = { inputData, targetUrl: target.url };
	const subscribeData = await run(operation.performSubscribe, bundle);
	return { ...target, inputData, subscribeData };
}

async function fieldsOf(key, inputData) {
	const fields = await run(App.triggers[key].operation.outputFields, { inputData });
	return new Map(fields.map((field) => [field.key, field]));
}

/** Returns whether a value has the field's type. */
function fits(value, type) {
	if (value === null) return true;
	if (type === 'datetime') return /^\d{4}-\d\d-\d\dT.*(Z|[+-]\d\d:\d\d)$/.test(value);
	if (type === 'integer') return Number.isInteger(value);
	return typeof value === (type === 'file' ? 'string' : type);
}

test('these tests know every trigger', () => {
	assert.deepEqual(hooks.map(({ key }) => key).sort(), Object.keys(CAUSES).sort());
});

for (const { key, operation } of hooks) {
	test(`${key}: subscribed, delivered, verified, unsubscribed`, async () => {
		const machine = await newMachine();
		const zap = await subscribed(operation, { device_ids: [machine.id], user_ids: [''] });
		const path = `/v1/subscriptions/${zap.subscribeData.id}`;
		const { data: made } = await api('GET', path);
		assert.deepEqual(made.event_types, TYPES[key]);
		assert.deepEqual(made.filters.device_ids, [machine.id]);
		assert.deepEqual(made.filters.user_ids, []);

		await CAUSES[key](machine, zap.subscribeData.id);
		const delivery = { ...zap, rawRequest: await zap.next(30) };
		const [event] = await run(operation.perform, delivery);
		assert.equal(event.test, key in SAMPLED);
		if (!event.test) assert.equal(event.device_id, machine.id);
		assert.ok(TYPES[key].includes(event.type) || key === 'any_event', event.type);
		const fields = await fieldsOf(key, {});
		for (const [name, value] of Object.entries(event)) {
			assert.ok(fits(value, fields.get(name)?.type), `${name}: ${value}`);
		}
		for (const name of Object.keys(operation.sample)) assert.ok(name in event, name);

		const body = delivery.rawRequest.content;
		const { secret } = zap.subscribeData;
		const forged = [
			{ ...delivery.rawRequest, content: body.replace('"type"', '"kind"') },
			signed('whsec_bm90IHRoZSBzZWNyZXQgb2YgdGhpcyBvbmU=', body),
			signed(secret, body, Math.floor(Date.now() / 1000) - 3600),
			{ ...delivery.rawRequest, headers: {} },
			undefined,
		];
		for (const rawRequest of forged) {
			const refused = await failureOf(run(operation.perform, { ...zap, rawRequest }));
			assert.equal(refused.name, 'HaltedError');
			assert.doesNotMatch(refused.message, /whsec_/);
		}
		assert.equal(
			(await run(operation.perform, { ...zap, rawRequest: signed(secret, body) })).length,
			1,
		);

		await run(operation.performUnsubscribe, zap);
		assert.equal((await api('GET', path)).status, 404);
		await run(operation.performUnsubscribe, zap); // it may already be deleted
	});

	test(`${key}: samples for the editor`, async () => {
		const found = await run(operation.performList, { inputData: {} });
		const fields = await fieldsOf(key, {});
		assert.ok(found.length >= 1);
		for (const event of found) {
			for (const name of Object.keys(operation.sample)) assert.ok(name in event, name);
			for (const name of Object.keys(event)) assert.ok(fields.has(name), name);
		}
	});
}

test('a Zap that subscribes twice has one subscription and a valid secret', async () => {
	const machine = await newMachine();
	const { operation } = App.triggers.new_punch;
	const zap = await subscribed(operation, { device_ids: [machine.id] });
	const bundle = { inputData: zap.inputData, targetUrl: zap.url };
	const subscribeData = await run(operation.performSubscribe, bundle);
	assert.equal(subscribeData.id, zap.subscribeData.id);
	await machine.act('punch', { user_id: '100' });
	const delivery = { ...zap, subscribeData, rawRequest: await zap.next() };
	assert.equal((await run(operation.perform, delivery)).length, 1);
	await run(operation.performUnsubscribe, zap);
});

test('a subscription that is created in the editor expires', async () => {
	const { operation } = App.triggers.new_punch;
	const { url: targetUrl } = await hook();
	const expiry = async (meta) => {
		const inputData = { user_ids: [String(Object.keys(meta).length)] };
		const { id } = await run(operation.performSubscribe, { inputData, targetUrl, meta });
		return (await api('GET', `/v1/subscriptions/${id}`)).data.expires_at;
	};
	const seconds = (Date.parse(await expiry({ isLoadingSample: true })) - Date.now()) / 1000;
	assert.ok(3500 < seconds && seconds <= 3600, String(seconds));
	assert.equal(await expiry({}), null);
});

test('a batch of events is as many results', async () => {
	const machine = await newMachine();
	const { operation } = App.triggers.new_punch;
	const zap = await subscribed(operation, {
		device_ids: [machine.id],
		punch_types: ['check_in', 'check_out'],
	});
	await machine.act('batch', { count: 30 });
	const found = [];
	await until(async () => {
		const rawRequest = zap.delivered.shift();
		if (rawRequest) found.push(...(await run(operation.perform, { ...zap, rawRequest })));
		return found.length === 30;
	});
	assert.equal(new Set(found.map(({ id }) => id)).size, 30);
	assert.ok(zap.delivered.length === 0);
	await run(operation.performUnsubscribe, zap);
});

test('a photo is a file that is downloaded when it is used', async () => {
	const machine = await newMachine();
	const { operation } = App.triggers.new_attendance_photo;
	const zap = await subscribed(operation, { device_ids: [machine.id] });
	await machine.act('photo', { user_id: '100', size_bytes: 20_000 });
	const [event] = await run(operation.perform, { ...zap, rawRequest: await zap.next() });
	const [, pointer] = /^hydrate\|\|\|(.*)\|\|\|hydrate$/.exec(event.photo);
	const { type, method, bundle: inputData } = JSON.parse(pointer);
	assert.deepEqual([type, method], ['file', 'hydrators.downloadPhoto']);

	const link = await run(App.hydrators.downloadPhoto, { inputData });
	assert.match(link, /\/stashed$/);
	const upload = stashed.pop();
	// The link contains the relay's public URL, which differs from the connection's URL and leads nowhere.
	const [, path] = /^https:\/\/relay\.example\.com\/attendance(\/photos\/.*)$/.exec(
		event.photo_url,
	);
	const photo = Buffer.from(await (await fetch(`${authData.relay_url}${path}`)).arrayBuffer());
	assert.equal(photo.length, event.photo_size_bytes);
	assert.ok(upload.includes(photo));
	assert.match(upload.toString('latin1'), /filename="?evt_\w+\.jpeg"?/);

	const missing = run(App.hydrators.downloadPhoto, { inputData: { event_id: 'evt_made-up' } });
	assert.equal((await failureOf(missing)).status, 404);
	await run(operation.performUnsubscribe, zap);
});

test('any event can be those of some types', async () => {
	const machine = await newMachine();
	const { operation } = App.triggers.any_event;
	const inputData = { device_ids: [machine.id], event_types: ['user.deleted', 'user.updated'] };
	const zap = await subscribed(operation, inputData);
	await machine.act('punch', { user_id: '100' });
	await machine.act('delete-user', { user_id: '100' });
	const [event] = await run(operation.perform, { ...zap, rawRequest: await zap.next() });
	assert.equal(event.type, 'user.deleted');
	const fields = await fieldsOf('any_event', inputData);
	assert.ok(fields.has('credentials_changed') && !fields.has('punch_type'));
	await run(operation.performUnsubscribe, zap);
});

test('a command that failed finishes too, and outcomes can be chosen', async () => {
	const machine = await newMachine();
	const { operation } = App.triggers.command_finished;
	const zap = await subscribed(operation, {
		device_ids: [machine.id],
		event_types: ['command.failed'],
	});
	const body = (user) => ({ device_id: machine.id, user_id: user });
	await api('POST', '/v1/actions/enable-user', body('100'));
	await api('POST', '/v1/actions/enable-user', body('9999'));
	const events = await run(operation.perform, { ...zap, rawRequest: await zap.next() });
	assert.deepEqual(
		events.map(({ type, user_id: user, status_code: code }) => [type, user, code]),
		[['command.failed', '9999', 9]],
	);
	await run(operation.performUnsubscribe, zap);
});

test('card numbers come where they are wanted', async () => {
	const machine = await newMachine();
	const { operation } = App.triggers.credential_updated;
	for (const [wanted, expected] of [
		[true, '0004829371'],
		[undefined, null],
	]) {
		const zap = await subscribed(operation, {
			device_ids: [machine.id],
			include_card_numbers: wanted,
		});
		const data = wanted ? '0004829371' : '0004829372';
		const credentials = [{ type: 'card', data }];
		await machine.act('user', { user_id: '100', credentials });
		const [event] = await run(operation.perform, { ...zap, rawRequest: await zap.next() });
		assert.equal(event.card_number, expected);
		await run(operation.performUnsubscribe, zap);
	}
});

test('the dropdowns show what the relay knows, page by page', async () => {
	const machine = await newMachine();
	const { device_list: devices, user_list: users, all_user_list: all } = App.triggers;
	const named = { id: machine.id, name: `Gate ${machine.id} (${machine.id})` };
	const everything = await pages(devices, {});
	assert.ok(everything.some(({ id, name }) => id === named.id && name === named.name));
	const ofMachine = await pages(users, { device_id: machine.id });
	assert.deepEqual(ofMachine, [{ id: '100', name: 'Manu Mona (100)' }]);

	for (let number = 0; number < 205; number++) {
		await machine.act('user', { user_id: `p${number}`, credentials: [] });
	}
	await until(async () => (await api('GET', `/v1/users/p204`)).status === 200 && machine.id, 20);
	const many = await pages(users, { device_id: machine.id });
	assert.equal(new Set(many.map(({ id }) => id)).size, 206);
	assert.ok((await pages(all, {})).some(({ id }) => id === 'p204'));
});

async function pages({ operation }, inputData) {
	const found = [];
	for (let page = 0; ; page++) {
		const rows = await run(operation.perform, { inputData, meta: { page } });
		if (!rows.length) return found;
		found.push(...rows);
	}
}
