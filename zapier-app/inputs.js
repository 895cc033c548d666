'use strict';

/** Text that someone typed, or a number of another step; empty where nothing was. */
const text = (value) => String(value ?? '').trim();

/** What was chosen in a field that takes several: Zapier gives an empty one where nothing was. */
const chosen = (value) => [value ?? []].flat().map(text).filter(Boolean);

/** Whether a switch is on. Mapped from another step it may be a text. */
const isOn = (value) => /^(true|yes|1)$/i.test(text(value));

module.exports = { text, chosen, isOn };
