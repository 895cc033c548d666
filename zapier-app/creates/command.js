'use strict';

const { randomUUID } = require('node:crypto');

const { catalog, actionOf, outputFields, sampleOf } = require('../catalog');
const { failure, sentenceOf } = require('../errors');
const { call } = require('../relay');
const { replay, subscribe, unsubscribe } = require('../subscription');
const { bodyOf } = require('./fields');

/** Zapier stops a step after 30 seconds. */
const WAIT_SECONDS = 20;
const UNDER_WAY = 202;
/** Every command ends within a day, and its subscription isn't needed afterwards. */
const LONGEST_SECONDS = 25 * 3600;
const ENDS = ['command.completed', 'command.failed', 'command.unknown', 'command.cancelled'];

/** Returns the output fields of a command: those that all commands have, and those of its result. */
const valuesOf = (action) => [...catalog.command, ...action.result];

const resultFields = (action) => outputFields(valuesOf(action));
const resultSample = (action) => sampleOf(valuesOf(action));

/** Runs an action. If it takes longer than a step may, a callback resumes the step. */
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
	// The editor has no callbacks, so a test there shows the command's current status.
	if (status !== UNDER_WAY || bundle.meta?.isLoadingSample) return data;
	try {
		return await suspend(z, bundle, data);
	} catch (error) {
		// The message says so, because repeating the step would send another command to the device.
		throw failure(
			z,
			`Command ${data.command_id} is in progress, but the Zap can't wait for its result: ${sentenceOf(error)}`,
			'not_waited_for',
			502,
		);
	}
}

/** Sends a command, and waits for its result for as long as a step may take. */
async function command(z, bundle, { name, effect }, body) {
	try {
		return await call(z, bundle, 'POST', `/v1/actions/${name}`, {
			body,
			headers: { Prefer: `wait=${WAIT_SECONDS}`, 'Idempotency-Key': randomUUID() },
		});
	} catch (error) {
		// Zapier automatically repeats a throttled step, which would send another command.
		if (effect !== 'destructive' || error.name !== 'ThrottledError') throw error;
		const sentence = `${sentenceOf(error)} Check the device before you try again.`;
		throw failure(z, sentence, 'not_repeated', 503);
	}
}

/**
 * Suspends the step until the relay calls back. Once the callback URL exists, the step is suspended, whatever is
 * returned. The command's result must therefore be delivered, even if the command ended before the subscription was
 * created.
 */
async function suspend(z, bundle, pending) {
	const { id } = await subscribe(z, bundle, {
		target_url: z.generateCallbackUrl(),
		event_types: ENDS,
		filters: { command_ids: [pending.command_id] },
		description: `Zapier: waits for ${pending.command_id}`,
		expires_in: LONGEST_SECONDS,
	});
	const { data: now } = await look(z, bundle, pending.command_id);
	if (now.ended_at) await replay(z, bundle, id, now.created_at);
	return { ...pending, subscription_id: id };
}

const look = (z, bundle, commandId) => call(z, bundle, 'GET', `/v1/commands/${commandId}`);

/**
 * Resumes the step. It gets the command's result from the relay itself, so somebody who knows the callback URL can
 * only resume the step.
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
