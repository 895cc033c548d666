'use strict';

const { randomUUID } = require('node:crypto');

const { catalog, actionOf, outputFields, sampleOf } = require('../catalog');
const { failure, sentenceOf } = require('../errors');
const { call } = require('../relay');
const { replay, subscribe, unsubscribe } = require('../subscription');
const { bodyOf } = require('./fields');

/** Zapier ends a step's call after 30 seconds. */
const WAIT_SECONDS = 20;
const UNDER_WAY = 202;
const ENDS = ['command.completed', 'command.failed', 'command.unknown', 'command.cancelled'];

/** What a command answers with: the fields that all have, and its result's. */
const valuesOf = (action) => [...catalog.command, ...action.result];

const resultFields = (action) => outputFields(valuesOf(action));
const resultSample = (action) => sampleOf(valuesOf(action));

/** Has the relay carry out an action. What takes longer than a step may is waited for by a callback. */
async function run(z, bundle, action) {
	const body = await bodyOf(z, action, bundle.inputData);
	if (action.effect === 'destructive' && body.confirm !== true) {
		throw failure(
			z,
			`${action.label} can't be undone, and was not confirmed. Nothing was sent to the device.`,
			'not_confirmed',
			422,
		);
	}
	const { status, data } = await command(z, bundle, action, body);
	// In the editor nobody would be called back: its test shows how far the command is.
	if (status !== UNDER_WAY || bundle.meta?.isLoadingSample) return data;
	try {
		return await suspend(z, bundle, data);
	} catch (error) {
		// Who runs the step again because it failed would command the machine again.
		throw failure(
			z,
			`Command ${data.command_id} is in progress, but the Zap can't wait for its result: ${sentenceOf(error)}`,
			'not_waited_for',
			502,
		);
	}
}

/** Gives a command, and waits for its end as long as a step may. */
async function command(z, bundle, { name, effect }, body) {
	try {
		return await call(z, bundle, 'POST', `/v1/actions/${name}`, {
			body,
			headers: { Prefer: `wait=${WAIT_SECONDS}`, 'Idempotency-Key': randomUUID() },
		});
	} catch (error) {
		// Zapier runs a throttled step again by itself, which would be another command.
		if (effect !== 'destructive' || error.name !== 'ThrottledError') throw error;
		const sentence = `${sentenceOf(error)} Check the device before you try again.`;
		throw failure(z, sentence, 'not_repeated', 503);
	}
}

/**
 * Puts the step to sleep until the relay calls back. Once a callback's URL was made the step sleeps, whatever is
 * returned: so the command's end must be sent, also where it came before the subscription. A command ends within a day.
 */
async function suspend(z, bundle, pending) {
	const { id } = await subscribe(z, bundle, {
		target_url: z.generateCallbackUrl(),
		event_types: ENDS,
		filters: { command_ids: [pending.command_id] },
		description: `Zapier: waits for ${pending.command_id}`,
	});
	const { data: now } = await look(z, bundle, pending.command_id);
	if (now.ended_at) await replay(z, bundle, id, now.created_at);
	return { ...pending, subscription_id: id };
}

const look = (z, bundle, commandId) => call(z, bundle, 'GET', `/v1/commands/${commandId}`);

/**
 * The step goes on: what became of the command is asked of the relay itself, so that who knows the callback's URL can
 * wake the step, and no more.
 */
async function resume(z, bundle) {
	const { command_id: commandId, subscription_id: subscriptionId } = bundle.outputData;
	const { data: command } = await look(z, bundle, commandId);
	await unsubscribe(z, bundle, subscriptionId);
	if (command.status !== 'completed') {
		const { message, status, status_name: name, gateway_status: said } = command;
		throw failure(
			z,
			[
				message ?? `The command is ${status}.`,
				said && `The gateway said: ${said}.`,
				`Command: ${commandId}.`,
			]
				.filter(Boolean)
				.join(' '),
			name ?? status,
			502,
		);
	}
	const names = new Set(valuesOf(actionOf(command.action)).map(({ name }) => name));
	return Object.fromEntries(Object.entries(command).filter(([name]) => names.has(name)));
}

module.exports = { run, resume, resultFields, resultSample };
