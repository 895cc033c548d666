import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';

import { refusal } from '../dist/nodes/CamsBiometricsTrigger/signature.js';

const KEY = Buffer.from('a made-up key, 32 bytes in length');
const SECRET = `whsec_${KEY.toString('base64')}`;
const NOW = 1_795_507_200_000;
const BODY = Buffer.from('{"id":"evt_1","user_name":"Zoë"}');

function headers({ id = 'evt_1', timestamp = String(NOW / 1000), key = KEY, body = BODY } = {}) {
	const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
	return {
		'webhook-id': id,
		'webhook-timestamp': timestamp,
		'webhook-signature': `v1,${createHmac('sha256', key).update(content).digest('base64')}`,
	};
}

test('the example of the Standard Webhooks specification fits', () => {
	const example = {
		'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
		'webhook-timestamp': '1614265330',
		'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
	};
	const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
	assert.equal(refusal(secret, example, Buffer.from('{"test": 2432232314}'), 1614265330_000), null);
});

test('a delivery of the relay is taken', () => {
	assert.equal(refusal(SECRET, headers(), BODY, NOW), null);
});

test('one of several signatures is enough, so that a secret can be rotated', () => {
	const other = headers({ key: Buffer.from('another made-up key') })['webhook-signature'];
	for (const signatures of [
		`${other} ${headers()['webhook-signature']}`,
		`v1a,AAAA ${headers()['webhook-signature']}`,
	]) {
		assert.equal(
			refusal(SECRET, { ...headers(), 'webhook-signature': signatures }, BODY, NOW),
			null,
		);
	}
});

test('whatever is changed is refused', () => {
	const changes = [
		[{ ...headers(), 'webhook-id': 'evt_2' }, BODY],
		[{ ...headers(), 'webhook-timestamp': String(NOW / 1000 + 1) }, BODY],
		[headers(), Buffer.concat([BODY, Buffer.from(' ')])],
		[headers({ key: Buffer.from('another made-up key') }), BODY],
		[{ ...headers(), 'webhook-signature': 'v1,' }, BODY],
		[{ ...headers(), 'webhook-signature': 'v1' }, BODY],
		[
			{ ...headers(), 'webhook-signature': headers()['webhook-signature'].replace('v1', 'v2') },
			BODY,
		],
	];
	for (const [changed, body] of changes) {
		assert.equal(refusal(SECRET, changed, body, NOW), 'The signature is not valid.');
	}
});

test('what is not signed is refused', () => {
	for (const name of Object.keys(headers())) {
		const missing = { ...headers() };
		delete missing[name];
		assert.equal(refusal(SECRET, missing, BODY, NOW), 'The delivery is not signed.');
	}
	const odd = { ...headers(), 'webhook-timestamp': 'Infinity' };
	assert.equal(refusal(SECRET, odd, BODY, NOW), 'The delivery is not signed.');
});

test('a delivery is taken for five minutes, and from a clock that is five minutes ahead', () => {
	for (const seconds of [-299, 299]) {
		assert.equal(refusal(SECRET, headers(), BODY, NOW + seconds * 1000), null);
	}
	for (const seconds of [-301, 301]) {
		assert.match(refusal(SECRET, headers(), BODY, NOW + seconds * 1000), /too old, or the clocks/);
	}
});
