'use strict';

const { call } = require('./relay');

const PATH = '/v1/subscriptions';
const GONE = 404;

/** Subscribes a URL; what is kept of it is its id and its secret, which the relay shows this once. */
async function subscribe(z, bundle, body) {
	const { data } = await call(z, bundle, 'POST', PATH, { body });
	return { id: data.id, secret: data.secret };
}

async function unsubscribe(z, bundle, id) {
	await call(z, bundle, 'DELETE', `${PATH}/${id}`, { also: [GONE] });
}

/** Has the stored events since a time delivered that the subscription takes. */
async function replay(z, bundle, id, since) {
	await call(z, bundle, 'POST', `${PATH}/${id}/replay`, { body: { since } });
}

module.exports = { subscribe, unsubscribe, replay };
