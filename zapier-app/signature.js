'use strict';

const { createHmac, timingSafeEqual } = require('node:crypto');

const { plainly } = require('./errors');

const TOLERANCE_SECONDS = 300;
const PREFIX = 'whsec_';

/**
 * Returns why a delivery isn't from the relay, or null if it is. Follows Standard Webhooks: HMAC-SHA-256 of
 * `{webhook-id}.{webhook-timestamp}.{raw body}`. While a secret is being rotated, there are several signatures.
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

/** Returns a header of a delivery. Zapier passes headers on with names such as `Http-Webhook-Id`. */
function plainHeaders(headers = {}) {
	return Object.fromEntries(
		Object.entries(headers).map(([name, value]) => [
			name.toLowerCase().replace(/^http-/, ''),
			value,
		]),
	);
}

/**
 * Returns the delivered events after verifying the signature. A forged delivery halts the Zap without an error.
 *
 * `rawRequest` and `subscribeData` come from Zapier's backend with every delivery of a live Zap. Core only passes them
 * on. The editor has neither, and uses the result of `performList`.
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
