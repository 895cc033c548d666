import assert from 'node:assert/strict';
import { test } from 'node:test';

import { App, api, failureOf, newMachine, run, until } from './stage.mjs';

const search = (key, inputData) => run(App.searches[key].operation.perform, { inputData });

async function assertFits(key, results, inputData = {}) {
	const fields = await run(App.searches[key].operation.outputFields, { inputData });
	const known = new Set(fields.map((field) => field.key));
	for (const result of results) {
		for (const name of Object.keys(result)) assert.ok(known.has(name), name);
		for (const name of Object.keys(App.searches[key].operation.sample))
			assert.ok(name in result, name);
	}
}

test('these tests know every search', () => {
	assert.deepEqual(Object.keys(App.searches), ['find_user', 'find_device', 'find_event']);
});

test('a user is found by ID and by name, on a machine or on all', async () => {
	const [machine, other] = [await newMachine(), await newMachine()];
	const [found] = await search('find_user', { user_id: '100', device_id: machine.id });
	assert.equal(found.id, `${machine.id}/100`);
	assert.deepEqual(
		[found.full_name, found.credential_types, found.device_label],
		['Manu Mona', 'card', `Gate ${machine.id}`],
	);
	await assertFits('find_user', [found]);
	const anywhere = await search('find_user', { user_id: 100, device_id: '' });
	const devices = anywhere.map(({ device_id: device }) => device);
	assert.ok(devices.includes(machine.id) && devices.includes(other.id));
	const byName = await search('find_user', { name: 'manu m', device_id: machine.id });
	assert.deepEqual(byName, [found]);
});

test('what is not there is nothing, and nothing to find is said', async () => {
	const machine = await newMachine();
	for (const inputData of [
		{ user_id: 'no/such user', device_id: machine.id },
		{ user_id: '100', device_id: 'NOSUCH' },
		{ user_id: '100', name: 'Somebody Else' },
		{ name: 'Somebody Else', device_id: machine.id },
	]) {
		assert.deepEqual(await search('find_user', inputData), []);
	}
	assert.deepEqual(await search('find_device', { device: 'NOSUCH' }), []);
	const inputData = { event_type: 'attendance.punch', device_id: machine.id };
	assert.deepEqual(await search('find_event', inputData), []);
	assert.match(
		(await failureOf(search('find_user', { user_id: ' ' }))).message,
		/Enter a User ID or a Name/,
	);
});

test('a user is found, or added and then found', async () => {
	const machine = await newMachine();
	const { search: find, create } = App.searchOrCreates.find_user;
	const inputData = { user_id: '777', device_id: machine.id, first_name: 'Asha' };
	assert.deepEqual(await search(find, inputData), []);
	const added = await run(App.creates[create].operation.perform, {
		inputData: { ...inputData, card_number: '4711' },
		meta: { withSearch: find },
	});
	assert.deepEqual(
		[added.status, added.user_id, added.device_id],
		['completed', '777', machine.id],
	);
	await machine.act('user', { user_id: '777', first_name: 'Asha', credentials: [] });
	await until(async () => (await search(find, inputData)).length === 1);
});

test('a machine is found by its ID, serial number or label', async () => {
	const machine = await newMachine();
	await api('PATCH', `/v1/devices/${machine.id}`, { serial_number: `SN-${machine.id}` });
	const [byId] = await search('find_device', { device: machine.id });
	assert.equal(byId.id, machine.id);
	assert.match(byId.callback_url, new RegExp(`/callback/${machine.id}$`));
	await assertFits('find_device', [byId]);
	for (const device of [` gate ${machine.id} `, `sn-${machine.id}`]) {
		const [{ id }] = await search('find_device', { device });
		assert.equal(id, machine.id);
	}
});

test('the latest event is found', async () => {
	const machine = await newMachine();
	for (const type of ['check_in', 'check_out']) {
		await machine.act('punch', {
			user_id: '100',
			type,
			at: type === 'check_in' ? '2026-11-20T09:00:00+00:00' : '2026-11-20T18:00:00+00:00',
		});
	}
	await machine.act('photo', { user_id: '100' });
	const punches = { event_type: 'attendance.punch', device_id: machine.id };
	const found = await until(async () => {
		const events = await search('find_event', { ...punches, user_id: '100' });
		return events.length === 2 && events;
	});
	assert.equal(found[0].punch_type, 'check_out');
	await assertFits('find_event', found, punches);
	assert.deepEqual(await search('find_event', { ...punches, user_id: '8' }), []);
	assert.deepEqual(
		await search('find_event', {
			...punches,
			until: found[1].received_at.replace(/T.*/, 'T00:00:00Z'),
		}),
		[],
	);
	const photos = { event_type: 'attendance.photo', device_id: machine.id };
	const [photo] = await until(async () => {
		const events = await search('find_event', photos);
		return events.length && events;
	});
	assert.match(photo.photo, /^hydrate/);
	await assertFits('find_event', [photo], photos);
});
