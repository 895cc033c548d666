'use strict';

/** Events and actions from the relay's registry. `npm run catalog` builds the file. */
const catalog = require('./catalog.json');

function find(list, name, value) {
	const found = list.find((one) => one[name] === value);
	if (!found) throw new Error(`catalog.json has no ${name} ${value}`);
	return found;
}

const eventOf = (type) => find(catalog.events, 'type', type);
const actionOf = (name) => find(catalog.actions, 'name', name);

/** Returns a list from the catalog as the choices of a dropdown. */
function choices(options, value = 'value') {
	return Object.fromEntries(options.map((option) => [option[value], option.label]));
}

/** Returns the output fields for the fields of an event or result. Fields in a list become Zapier's line items. */
function outputFields(values) {
	return values.flatMap(({ name, label, type, format, fields }) =>
		type === 'array'
			? outputFields(fields).map((field) => ({ ...field, key: `${name}[]${field.key}` }))
			: [{ key: name, label, type: format === 'date-time' ? 'datetime' : type }],
	);
}

function sampleOf(values) {
	return Object.fromEntries(
		values.map(({ name, type, fields, example }) => [
			name,
			type === 'array' ? [sampleOf(fields)] : example,
		]),
	);
}

module.exports = { catalog, eventOf, actionOf, choices, outputFields, sampleOf };
