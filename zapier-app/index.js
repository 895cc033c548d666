'use strict';

const { version: platformVersion } = require('zapier-platform-core');

const { version } = require('./package.json');
const authentication = require('./authentication');
const creates = require('./creates');
const { downloadPhoto } = require('./photo');
const { includeKey, raiseProblem } = require('./relay');
const { searches, searchOrCreates } = require('./searches');
const eventTriggers = require('./triggers/events');
const pickers = require('./triggers/pickers');

const byKey = (parts) => Object.fromEntries(parts.map((part) => [part.key, part]));

module.exports = {
	version,
	platformVersion,
	// What is left empty is told from what is false or 0 by the app itself, and a 429 has the relay's own sentence.
	flags: { cleanInputData: false, throwForThrottlingEarly: false },
	authentication,
	beforeRequest: [includeKey],
	afterResponse: [raiseProblem],
	hydrators: { downloadPhoto },
	triggers: byKey([...eventTriggers, ...pickers]),
	creates: byKey(creates),
	searches: byKey(searches),
	searchOrCreates: byKey(searchOrCreates),
};
