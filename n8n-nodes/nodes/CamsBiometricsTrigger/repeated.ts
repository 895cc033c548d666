/** The number of `webhook-id`s to remember for each subscription. The relay only repeats a few deliveries at a time. */
const REMEMBERED = 1_000;

/**
 * The deliveries of each subscription that this process accepted, oldest first. They aren't in the workflow's static
 * data, because n8n 2.41 doesn't save changes that a webhook makes there if it responds immediately.
 */
const answered = new Map<string, Set<string>>();

export function known(subscription: string, id: string): boolean {
	return answered.get(subscription)?.has(id) ?? false;
}

export function remember(subscription: string, id: string): void {
	const ids = answered.get(subscription) ?? new Set();
	answered.set(subscription, ids.add(id));
	const [oldest] = ids;
	if (ids.size > REMEMBERED) ids.delete(oldest);
}
