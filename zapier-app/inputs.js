'use strict';

/** Returns text that somebody typed, or a number from another step, as a string; "" if the field is empty. */
const text = (value) => String(value ?? '').trim();

/** Returns the selected values of a field that allows several. If none is selected, Zapier passes an empty one. */
const chosen = (value) => [value ?? []].flat().map(text).filter(Boolean);

/** Returns whether a switch is on. A value from another step can be text. */
const isOn = (value) => /^(true|yes|1)$/i.test(text(value));

module.exports = { text, chosen, isOn };
