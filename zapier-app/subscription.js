'use strict';

const { call } = require('./relay');

const PATH = '/v1/subscriptions';
const GONE = 404;

/** Subscribes a URL, and returns the subscription's ID and secret: a new secret if the subscription already existed. */
async function subscribe(z, bundle, body) {
	const { data } = await call(z, bundle, 'POST', PATH, { body });
	const { secret } = data.secret
		? data
		: (await call(z, bundle, 'POST', `${PATH}/${data.id}/rotate-secret`)).data;
	return { id: data.id, secret };
}

async function unsubscribe(z, bundle, id) {
	await call(z, bundle, 'DELETE', `${PATH}/${id}`, { also: [GONE] });
}

/** Replays the subscription's stored events since a time. */
async function replay(z, bundle, id, since) {
	await call(z, bundle, 'POST', `${PATH}/${id}/replay`, { body: { since } });
}

module.exports = { subscribe, unsubscribe, replay };
