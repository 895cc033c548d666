'use strict';

const { failure } = require('./errors');
const { call } = require('./relay');

/** Returns the event with its photo as a file, which is downloaded when a step uses it. Samples have no file. */
function withPhoto(z, event) {
	if (event.type !== 'attendance.photo' || event.test) return event;
	return { ...event, photo: z.dehydrateFile(downloadPhoto, { event_id: event.id }) };
}

/**
 * Saves an event's photo in Zapier's file store. The event is read again, because its link expires after a week. The
 * link's host is that of the relay's public URL, which can differ from the connection's host.
 */
async function downloadPhoto(z, bundle) {
	const id = bundle.inputData.event_id;
	const { data: event } = await call(z, bundle, 'GET', `/v1/events/${encodeURIComponent(id)}`);
	if (!event.photo_url) throw failure(z, `Event ${id} has no photo.`, 'no_photo', 404);
	const { pathname, search } = new URL(event.photo_url);
	const path = pathname.slice(pathname.lastIndexOf('/photos/'));
	const response = call(z, bundle, 'GET', `${path}${search}`, { raw: true });
	const name = `${event.id}.${event.photo_mime.split('/')[1]}`;
	return await z.stashFile(response, event.photo_size_bytes, name, event.photo_mime);
}

module.exports = { withPhoto, downloadPhoto };
