import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

const { refusal } = createRequire(import.meta.url)('../signature.js');

// Signed by the reference library, standardwebhooks for Python.
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const BODY = '{"user_name":"Zoë"}';
const NOW = 1_764_000_000_000;
const HEADERS = {
	'webhook-id': 'evt_1',
	'webhook-timestamp': '1764000000',
	'webhook-signature': 'v1,3ePCzCQpzFwCIA69OitNeDxthB8HrGM32OjHqO6dgCY=',
};
const [, SIGNATURE] = HEADERS['webhook-signature'].split(',');

const refused = (change = {}, { secret = SECRET, body = BODY, now = NOW } = {}) =>
	refusal(secret, { ...HEADERS, ...change }, body, now);

test('a delivery that is signed as Standard Webhooks says is taken', () => {
	assert.equal(refused(), null);
});

test('one of several signatures is enough, so that a secret can be rotated', () => {
	for (const other of ['v1,AAAA', 'v1a,AAAA', 'nothing']) {
		assert.equal(refused({ 'webhook-signature': `${other} v1,${SIGNATURE}` }), null);
	}
});

test('whatever is changed is refused', () => {
	for (const [change, more] of [
		[{ 'webhook-id': 'evt_2' }],
		[{ 'webhook-timestamp': '1764000001' }],
		[{ 'webhook-signature': 'v1,' }],
		[{ 'webhook-signature': `v2,${SIGNATURE}` }],
		[{}, { body: BODY.replace('Zoë', 'Zoe') }],
		[{}, { body: `${BODY} ` }],
		[{}, { secret: 'whsec_bm90IHRoZSBzZWNyZXQgb2YgdGhpcyBvbmU=' }],
	]) {
		assert.equal(refused(change, more), 'The signature is not valid.');
	}
});

test('what is not signed, or has no time, is refused', () => {
	for (const name of Object.keys(HEADERS)) {
		assert.equal(refused({ [name]: undefined }), 'The delivery is not signed.');
	}
	assert.equal(refused({ 'webhook-timestamp': 'soon' }), 'The delivery is not signed.');
});

test('more than five minutes off, before or after, is refused', () => {
	for (const [seconds, expected] of [
		[-300, true],
		[300, true],
		[-302, false],
		[302, false],
	]) {
		const found = refused({}, { now: NOW + 1000 * seconds });
		assert.equal(found === null, expected, `${seconds} s: ${found}`);
	}
});
