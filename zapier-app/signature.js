'use strict';

const { createHmac, timingSafeEqual } = require('node:crypto');

const { plainly } = require('./errors');

const TOLERANCE_SECONDS = 300;
const PREFIX = 'whsec_';

/**
 * Why a delivery is not the relay's, or null where it is: Standard Webhooks, HMAC-SHA-256 over
 * `{webhook-id}.{webhook-timestamp}.{raw body}`. There may be several signatures while a secret is rotated.
 */
function refusal(secret, headers, body, now = Date.now()) {
	const [id, timestamp, signatures] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map(
		(name) => String(headers[name] ?? ''),
	);
	if (!id || !/^\d+$/.test(timestamp) || !signatures) return 'The delivery is not signed.';
	if (Math.abs(now / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) {
		return 'The delivery is too old, or the clocks differ by more than five minutes.';
	}
	const expected = createHmac('sha256', Buffer.from(secret.slice(PREFIX.length), 'base64'))
		.update(`${id}.${timestamp}.${body}`)
		.digest();
	const fits = signatures.split(' ').some((signature) => {
		const [version, value] = signature.split(',');
		const given = Buffer.from(value ?? '', 'base64');
		return version === 'v1' && given.length === expected.length && timingSafeEqual(given, expected);
	});
	return fits ? null : 'The signature is not valid.';
}

/** Zapier hands a hook's headers on as `Http-Webhook-Id`. */
function plainHeaders(headers = {}) {
	return Object.fromEntries(
		Object.entries(headers).map(([name, value]) => [
			name.toLowerCase().replace(/^http-/, ''),
			value,
		]),
	);
}

/**
 * What was delivered, once its signature is verified. A forged delivery halts: it starts nothing and is no error.
 *
 * `rawRequest` and `subscribeData` come from Zapier's backend with every delivery of a live Zap; core only hands them
 * on. The editor has neither: it takes what `performList` returns.
 */
function verified(z, { rawRequest, subscribeData }) {
	const body = rawRequest?.content ?? '';
	const refused = subscribeData?.secret
		? refusal(subscribeData.secret, plainHeaders(rawRequest?.headers), body)
		: 'There is no subscription. Turn the Zap off and on again.';
	if (refused) throw plainly(new z.errors.HaltedError(refused));
	return z.JSON.parse(body);
}

module.exports = { refusal, verified };
