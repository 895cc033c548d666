/** How many `webhook-id`s are remembered of each subscription: the relay repeats a few at a time. */
const REMEMBERED = 1_000;

/**
 * Of each subscription, what this process answered with success, the oldest first. Not in the workflow's static data:
 * n8n 2.41 does not store what a webhook that answers at once changes there.
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
