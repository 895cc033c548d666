import { createHash } from 'crypto';
import type { IDataObject, IExecuteFunctions } from 'n8n-workflow';

/** Returns the same key if n8n runs the same item again because of Retry On Fail, so that nothing is done twice. */
export function idempotencyKey(
	this: IExecuteFunctions,
	name: string,
	body: IDataObject,
	itemIndex: number,
): string {
	const run = this.getWorkflowDataProxy(itemIndex).$runIndex as number;
	const parts = [this.getExecutionId(), this.getNode().id, run, itemIndex, name, body];
	return `n8n-${createHash('sha256').update(JSON.stringify(parts)).digest('hex')}`;
}
