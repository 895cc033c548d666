import type { INodeExecutionData } from 'n8n-workflow';

/** What became of one input item or, if its command goes to several devices, of one of them: output items, or the error. */
export type Outcome = INodeExecutionData[] | Error;

/** The outcome of an input item. `device` is set if the item has several devices. */
export interface Result {
	itemIndex: number;
	device?: string;
	outcome: Outcome;
}

/** Returns the result of a call, or the error that it throws. */
export async function attempt<Value>(call: () => Promise<Value>): Promise<Value | Error> {
	try {
		return await call();
	} catch (error) {
		return error as Error;
	}
}
