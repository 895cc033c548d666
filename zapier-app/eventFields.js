'use strict';

const { catalog, eventOf, outputFields } = require('./catalog');

/** The photo's file, in addition to the relay's link. */
const PHOTO = { key: 'photo', label: 'Photo', type: 'file' };

const eventsOf = (types) => (types.includes('*') ? catalog.events : types.map(eventOf));

/** Returns the output fields that an event of any of these types can have. */
function allFields(types) {
	const events = eventsOf(types);
	const fields = new Map(
		events.flatMap((event) => event.fields).map((field) => [field.name, field]),
	);
	const withPhoto = events.some(({ type }) => type === 'attendance.photo');
	return [...outputFields([...fields.values()]), ...(withPhoto ? [PHOTO] : [])];
}

/** Returns the output fields that all events of these types have. */
function commonFields(types) {
	const [first, ...rest] = eventsOf(types);
	const inAll = ({ name }) =>
		rest.every(({ fields }) => fields.some((field) => field.name === name));
	return outputFields(first.fields.filter(inAll));
}

/** Returns a sample event with these fields. */
function sampleOf(types, fields) {
	const [{ sample }] = eventsOf(types);
	return Object.fromEntries(
		fields.filter(({ key }) => key in sample).map(({ key }) => [key, sample[key]]),
	);
}

module.exports = { allFields, commonFields, sampleOf };
