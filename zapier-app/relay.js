'use strict';

const { Readable } = require('node:stream');

const { failure, plainly } = require('./errors');

const PAGE = 200;
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

/** Returns the URL of the connection's relay, without a slash at the end. */
function relayUrl(z, bundle) {
	const given = String(bundle.authData.relay_url ?? '').trim();
	let url;
	try {
		url = new URL(given);
	} catch {
		throw failure(
			z,
			`The Relay URL ${given} is not a URL. It must start with https://`,
			'relay_url',
			422,
		);
	}
	if (url.protocol !== 'https:' && !LOOPBACK.includes(url.hostname)) {
		throw failure(
			z,
			'The Relay URL must start with https://, because the API key is sent to it.',
			'relay_url',
			422,
		);
	}
	return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

/**
 * Returns whether a request is one that the app makes to the relay. A file URL from a form must not be requested with
 * the key, even if it is on the relay. Such requests have `middlewareData.foreign`.
 */
function isForRelay(z, { url, middlewareData }, bundle) {
	if (middlewareData?.foreign || !bundle.authData?.relay_url) return false;
	return url.startsWith(`${relayUrl(z, bundle)}/`);
}

/** Adds the key to each request to the relay, and only to these. */
function includeKey(request, z, bundle) {
	if (isForRelay(z, request, bundle)) {
		request.headers = {
			...request.headers,
			Authorization: `Bearer ${String(bundle.authData.api_key ?? '').trim()}`,
		};
	}
	return request;
}

/** Throws an error for each request that the relay refused, except for statuses in `middlewareData.also`. */
async function raiseProblem(response, z, bundle) {
	const { request, status } = response;
	const fine = status < 300 || request.middlewareData?.also?.includes(status);
	if (fine || !isForRelay(z, request, bundle)) return response;
	if (status < 400) {
		const location = response.getHeader('location');
		throw failure(
			z,
			`The relay's URL redirects to ${location}. Enter that URL instead.`,
			'redirect',
			status,
		);
	}
	throw problem(z, response, request.raw ? parsed(await response.text()) : response.data);
}

function parsed(text) {
	try {
		return JSON.parse(text);
	} catch {
		return undefined; // another server usually answers with HTML or text
	}
}

/** Returns the name of the invalid field, parameter or header. */
const placeOf = ({ pointer, parameter, header }) =>
	pointer?.slice(1).replaceAll('/', '.') || parameter || header || 'body';

/** Names the field of a PIN as in the form. In the API, it is `password`. */
const inForm = (text) => text.replace(/\bpassword(?=:)/g, 'PIN');

/** Converts the relay's problem+json to a Zapier error with its message and the field or command. */
function problem(z, { status, getHeader }, body) {
	const known = typeof body === 'object' && body !== null ? body : {};
	const sentence = known.detail ?? known.title ?? `The relay answered with HTTP status ${status}.`;
	const more = [
		...(known.errors ?? [])
			.filter(({ message }) => !sentence.includes(message))
			.map((fault) => `${placeOf(fault)}: ${fault.message}.`),
		known.gateway_status && `The gateway said: ${known.gateway_status}.`,
		known.command_id && `Command: ${known.command_id}.`,
	];
	const text = inForm([sentence, ...more].filter(Boolean).join(' '));
	if (status === 401) return plainly(new z.errors.ExpiredAuthError(text));
	// A command that ended with 503 isn't retried, because a repeated step would send another command.
	if (status === 429 || (status === 503 && !known.command_id)) {
		return new z.errors.ThrottledError(text, Number(getHeader('retry-after')) || undefined);
	}
	return failure(z, text, known.status_name ?? known.title, status);
}

/**
 * Calls the relay's API. Throws an error with the relay's message unless the status is 2xx or in `also`.
 *
 * The body is sent as a stream, because core logs other bodies. Core hides PINs, which it recognises by the name of
 * their field, but not templates and card numbers. It doesn't log streams.
 */
async function call(z, bundle, method, path, { body, params, headers, also, raw } = {}) {
	const request = {
		method,
		url: `${relayUrl(z, bundle)}${path}`,
		params: given(params),
		headers: { ...headers },
		redirect: 'manual', // otherwise, a redirected POST would become a GET
		skipThrowForStatus: true, // raiseProblem throws instead, with the relay's message
		middlewareData: { also },
		raw,
	};
	if (body) {
		const content = Buffer.from(JSON.stringify(body));
		request.body = Readable.from([content]);
		// Without a length, the body would be sent in chunks, which some proxies don't accept.
		Object.assign(request.headers, {
			'Content-Type': 'application/json',
			'Content-Length': String(content.length),
		});
	}
	try {
		return await z.request(request);
	} catch (error) {
		if (error.name !== 'FetchError') throw error;
		const url = relayUrl(z, bundle);
		const reason = error.code ?? error.type;
		throw failure(z, `The relay can't be reached at ${url} (${reason}).`, 'unreachable', 503);
	}
}

function given(params = {}) {
	return Object.fromEntries(
		Object.entries(params).filter(([, value]) => value !== undefined && value !== ''),
	);
}

/** Returns a page of a list: its rows, and the cursor of the next page or null. */
async function page(z, bundle, path, { cursor, limit = PAGE, ...params } = {}) {
	const { data } = await call(z, bundle, 'GET', path, { params: { ...params, limit, cursor } });
	return { rows: data.data, next: data.next_cursor };
}

/** Returns all rows of a list, which it reads page by page. */
async function list(z, bundle, path, params) {
	const found = [];
	let cursor;
	do {
		const { rows, next } = await page(z, bundle, path, { ...params, cursor });
		found.push(...rows);
		cursor = next;
	} while (cursor);
	return found;
}

module.exports = { relayUrl, includeKey, raiseProblem, call, page, list };
