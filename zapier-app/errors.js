'use strict';

/**
 * The error with its sentence as it is. To other errors than these core adds "What happened", which has the whole
 * bundle in it: a PIN, and the secret of a subscription.
 */
function plainly(error) {
	error.doNotContextify = true;
	return error;
}

/** An error of a step: a sentence, a code, and a status. */
function failure(z, sentence, code, status) {
	return plainly(new z.errors.Error(sentence, code, status));
}

/** The sentence of an error: Zapier's own carry it in JSON. */
function sentenceOf(error) {
	try {
		return JSON.parse(error.message).message ?? error.message;
	} catch {
		return error.message;
	}
}

module.exports = { plainly, failure, sentenceOf };
