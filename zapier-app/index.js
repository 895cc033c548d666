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
	// The app itself distinguishes empty values from false and 0, and shows the relay's own message for a 429.
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
