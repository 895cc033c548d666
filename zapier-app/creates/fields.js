'use strict';

const { choices } = require('../catalog');
const { failure } = require('../errors');
const { isOn, text } = require('../inputs');

/** The relay accepts requests of up to 16 MiB, and Base64 turns three bytes into four. */
const MOST_BYTES = 11 * 1024 * 1024;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Returns the key in Zapier's form for a field. Zapier would treat a field `password` as that of the connection. */
const keyOf = (field) => (field.kind === 'pin' ? 'pin' : field.name);

/** Returns the Zapier form field for a field of an action. */
function inputField(field) {
	const { required, description: helpText } = field;
	// Reviewers refuse labels such as User ID, because nobody should have to type an ID.
	const label = field.label.replace(/ ID$/, '');
	const common = { key: keyOf(field), label, required, helpText };
	switch (field.kind) {
		case 'device':
			return {
				...common,
				type: 'string',
				dynamic: 'device_list.id.name',
				search: 'find_device.id',
				helpText: 'Service Tag ID of the device, as registered with the relay.',
			};
		case 'user':
			return {
				...common,
				type: 'string',
				dynamic: 'user_list.id.name',
				search: 'find_user.user_id',
			};
		case 'choice':
			return { ...common, type: 'string', choices: choices(field.options) };
		case 'index':
			return { ...common, type: 'integer', placeholder: String(field.example) };
		case 'time':
			return {
				...common,
				type: 'datetime',
				helpText: `${helpText} If no time zone is given, your account's is used.`,
			};
		case 'flag':
			return { ...common, type: 'boolean' };
		case 'file':
			return {
				...common,
				type: 'file',
				helpText: `${helpText} Use a file, its URL, or Base64 text.`,
			};
		case 'confirm':
			return {
				...common,
				label: 'I Know This Can’t Be Undone',
				type: 'boolean',
				helpText: 'Whether you confirm this command. It is refused if this is off.',
			};
		default:
			return {
				...common,
				type: 'string',
				placeholder: String(field.example),
				// A user who is being added can be new, or already exist on another device.
				...(field.name === 'user_id' && { dynamic: 'all_user_list.id.name' }),
			};
	}
}

/** Builds the flat body of an action, without empty fields. */
async function bodyOf(z, action, inputData) {
	const body = {};
	for (const field of action.fields) {
		const given = inputData[keyOf(field)];
		if (text(given)) body[field.name] = await valueOf(z, field, given);
	}
	return body;
}

async function valueOf(z, field, given) {
	switch (field.kind) {
		case 'index':
			return typeof given === 'string' ? Number(given) : given;
		case 'flag':
		case 'confirm':
			return isOn(given);
		case 'file':
			return await base64(z, field, text(given));
		default:
			return text(given);
	}
}

/**
 * Downloads the file of a file field, and returns it as Base64. Zapier converts text that somebody typed into such a
 * field to a file. If a file contains only Base64, it is therefore used unchanged.
 */
async function base64(z, field, given) {
	const [, protocol] = /^([a-z][a-z\d+.-]*):\/\//i.exec(given) ?? [];
	if (protocol && !/^https?$/i.test(protocol)) {
		throw failure(
			z,
			`${field.label} can't be read from a URL that starts with ${protocol}://. Use https://, a file or Base64 text.`,
			'file',
			422,
		);
	}
	if (!protocol) return given;
	let content;
	try {
		const response = await z.request({
			url: given,
			raw: true,
			size: MOST_BYTES,
			skipThrowForStatus: true,
			middlewareData: { foreign: true },
		});
		if (response.status !== 200) throw new Error(`status ${response.status}`);
		content = await response.buffer();
	} catch (error) {
		const reason = error.type === 'max-size' ? 'it is too large' : (error.code ?? error.message);
		throw failure(z, `The file of ${field.label} can't be read: ${reason}.`, 'file', 422);
	}
	const typed = content.toString('latin1').replace(/\s+/g, '');
	return BASE64.test(typed) ? typed : content.toString('base64');
}

module.exports = { keyOf, inputField, bodyOf };
