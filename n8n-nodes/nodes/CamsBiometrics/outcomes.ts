import type { INodeExecutionData } from 'n8n-workflow';

/** What became of one input item: its output items, or the error. */
export type Outcome = INodeExecutionData[] | Error;

/** Returns the result of a call, or the error that it throws. */
export async function attempt<Result>(call: () => Promise<Result>): Promise<Result | Error> {
	try {
		return await call();
	} catch (error) {
		return error as Error;
	}
}
