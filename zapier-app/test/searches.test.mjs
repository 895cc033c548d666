import assert from 'node:assert/strict';
import { test } from 'node:test';

import { App, api, failureOf, newMachine, run, until } from './stage.mjs';

const search = (key, inputData) => run(App.searches[key].operation.perform, { inputData });

async function assertFits(key, results, inputData = {}) {
	const fields = await run(App.searches[key].operation.outputFields, { inputData });
	const known = new Set(fields.map((field) => field.key));
	for (const result of results) {
		for (const [name, value] of Object.entries(result)) {
			const names = Array.isArray(value)
				? Object.keys(value[0]).map((one) => `${name}[]${one}`)
				: [name];
			for (const one of names) assert.ok(known.has(one), one);
		}
		for (const name of Object.keys(App.searches[key].operation.sample))
			assert.ok(name in result, name);
	}
}

test('these tests know every search', () => {
	assert.deepEqual(Object.keys(App.searches), [
		'find_user',
		'find_device',
		'find_event',
		'find_attendance_day',
		'find_attendance_month',
		'find_employee',
	]);
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
		/Enter a User or a Name/,
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

test('a day and a month of a person’s attendance are found', async () => {
	const machine = await newMachine();
	const user = `A${Date.now()}`;
	await machine.act('punch', { user_id: user, type: 'check_in' });
	const events = await until(async () => {
		const { data } = await api('GET', `/v1/events?type=attendance.punch&user_id=${user}`);
		return data.data.length && data.data;
	});
	const at = events[0].occurred_at;
	const [day] = await search('find_attendance_day', { user_id: user, date: at });
	assert.deepEqual([day.id, day.punch_count], [`${user}/${at.slice(0, 10)}`, 1]);
	await assertFits('find_attendance_day', [day]);
	const [month] = await search('find_attendance_month', { user_id: user, month: at.slice(0, 7) });
	assert.deepEqual([month.days_present, month.data.length], [1, 1]);
	assert.deepEqual({ id: day.id, ...month.data[0] }, day);
	await assertFits('find_attendance_month', [month]);
	for (const inputData of [{ user_id: 'nobody' }, { user_id: user, employee_id: 'NOSUCH' }]) {
		const when = { date: '2026-11-24', month: '2026-11' };
		assert.deepEqual(await search('find_attendance_day', { ...when, ...inputData }), []);
		assert.deepEqual(await search('find_attendance_month', { ...when, ...inputData }), []);
	}
	const wrong = await failureOf(search('find_attendance_day', { user_id: user, date: '24.11.' }));
	assert.match(wrong.message, /date: is required, e\.g\. date=2026-11-24/);
});

test('only one of two simultaneous steps creates an employee', async () => {
	const user = `C${Date.now()}`;
	const create = (employee) =>
		run(App.creates.create_employee.operation.perform, {
			inputData: { user_id: user, employee_id: employee },
		});
	const ended = await Promise.allSettled(['E-1', 'E-2', 'E-3'].map(create));
	const [made, ...others] = ended.filter(({ status }) => status === 'fulfilled');
	assert.deepEqual(others, []);
	assert.deepEqual(await search('find_employee', { employee: user }), [made.value]);
});

test('an employee is created, found and changed', async () => {
	const machine = await newMachine();
	const write = (key, inputData) => run(App.creates[key].operation.perform, { inputData });
	const user = `B${Date.now()}`;
	const wanted = { user_id: user, employee_id: `E-${user}`, name: `Asha ${user}` };
	const made = await write('create_employee', { ...wanted, device_id: '' });
	assert.deepEqual(made, { ...wanted, id: user, device_id: null });
	const again = await failureOf(write('create_employee', { ...wanted, employee_id: 'E-2' }));
	assert.match(again.message, /already belongs to employee E-B\d+\. Use Update Employee/);
	for (const employee of [user, `e-${user.toLowerCase()}`, wanted.name.toUpperCase()]) {
		assert.deepEqual(await search('find_employee', { employee }), [made]);
	}
	await assertFits('find_employee', [made]);
	assert.deepEqual(await search('find_employee', { employee: 'nobody' }), []);

	const changed = await write('update_employee', { user_id: user, employee_id: '', name: 'Mary' });
	assert.deepEqual(changed, { ...made, name: 'Mary' });
	const here = await write('create_employee', { ...wanted, device_id: machine.id });
	assert.equal(here.device_id, machine.id);
	const offered = await run(App.triggers.employee_list.operation.perform, { inputData: {} });
	assert.ok(
		offered.some(({ id, employee_id: employee }) => id === user && employee === made.employee_id),
	);

	const nothing = await failureOf(write('update_employee', { user_id: user }));
	assert.match(nothing.message, /Enter an Employee or a Name/);
	const missing = await failureOf(write('update_employee', { user_id: 'nobody', name: 'X' }));
	assert.match(missing.message, /There is no employee with this user ID/);
});
