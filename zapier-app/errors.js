'use strict';

/**
 * Returns the error with an unchanged message. To other errors, core adds "What happened" with the whole bundle, which
 * can contain a PIN and a subscription's secret.
 */
function plainly(error) {
	error.doNotContextify = true;
	return error;
}

/** Creates a step's error with a message, a code and a status. */
function failure(z, sentence, code, status) {
	return plainly(new z.errors.Error(sentence, code, status));
}

/** Returns an error's message. In Zapier's own errors, it is in JSON. */
function sentenceOf(error) {
	try {
		return JSON.parse(error.message).message ?? error.message;
	} catch {
		return error.message;
	}
}

module.exports = { plainly, failure, sentenceOf };
