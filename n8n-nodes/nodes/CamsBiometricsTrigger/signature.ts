import { createHmac, timingSafeEqual } from 'crypto';

const TOLERANCE_SECONDS = 300;
const PREFIX = 'whsec_';

type Headers = Record<string, string | string[] | undefined>;

/**
 * Returns why a delivery isn't from the relay, or null if it is. Follows Standard Webhooks: HMAC-SHA-256 of
 * `{webhook-id}.{webhook-timestamp}.{raw body}`. While a secret is being rotated, there are several signatures.
 */
export function refusal(
	secret: string,
	headers: Headers,
	body: Buffer,
	now = Date.now(),
): string | null {
	const [id, timestamp, signatures] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map(
		(name) => String(headers[name] ?? ''),
	);
	if (!id || !/^\d+$/.test(timestamp) || !signatures) return 'The delivery is not signed.';
	if (Math.abs(now / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) {
		return 'The delivery is too old, or the clocks differ by more than five minutes.';
	}
	const expected = createHmac('sha256', Buffer.from(secret.slice(PREFIX.length), 'base64'))
		.update(`${id}.${timestamp}.`)
		.update(body)
		.digest();
	const fits = signatures.split(' ').some((signature) => {
		const [version, value] = signature.split(',');
		const given = Buffer.from(value ?? '', 'base64');
		return version === 'v1' && given.length === expected.length && timingSafeEqual(given, expected);
	});
	return fits ? null : 'The signature is not valid.';
}
