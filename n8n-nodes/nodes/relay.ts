import {
	NodeApiError,
	type IDataObject,
	type IExecuteFunctions,
	type IHookFunctions,
	type IHttpRequestMethods,
	type ILoadOptionsFunctions,
	type IWebhookFunctions,
	type JsonObject,
} from 'n8n-workflow';

export type Caller = IExecuteFunctions | IHookFunctions | ILoadOptionsFunctions | IWebhookFunctions;

export interface Answer {
	status: number;
	headers: IDataObject;
	body: IDataObject;
}

export interface Call {
	body?: IDataObject;
	qs?: IDataObject;
	headers?: IDataObject;
	/** Statuses besides 2xx that are not errors. */
	also?: number[];
	itemIndex?: number;
}

interface Fault {
	pointer?: string;
	parameter?: string;
	header?: string;
	message: string;
}

interface Problem extends IDataObject {
	title?: string;
	detail?: string;
	errors?: Fault[];
	command_id?: string;
	gateway_status?: string;
}

const PAGE = 200;

/** Calls the relay's API. Throws a NodeApiError with the relay's message unless the status is 2xx or in `also`. */
export async function call(
	this: Caller,
	method: IHttpRequestMethods,
	path: string,
	{ body, qs, headers, also = [], itemIndex }: Call = {},
): Promise<Answer> {
	const { relayUrl } = await this.getCredentials<{ relayUrl: string }>('camsRelayApi');
	const baseURL = relayUrl.replace(/\/+$/, '');
	let response: { statusCode: number; headers: IDataObject; body: IDataObject };
	try {
		response = await this.helpers.httpRequestWithAuthentication.call(this, 'camsRelayApi', {
			method,
			baseURL,
			url: path,
			body,
			qs,
			headers: headers as Record<string, string>,
			json: true,
			returnFullResponse: true,
			ignoreHttpStatusErrors: true,
		});
	} catch (error) {
		const reason = (error as { code?: string }).code ?? (error as Error).message;
		throw new NodeApiError(this.getNode(), error as JsonObject, {
			message: `The relay can't be reached at ${baseURL} (${reason})`,
			description: 'Check the credential’s Relay URL, and that the relay is running.',
			itemIndex,
		});
	}
	const { statusCode: status } = response;
	if ((status >= 200 && status < 300) || also.includes(status)) {
		return { status, headers: response.headers, body: response.body };
	}
	throw problem.call(this, status, response.body as Problem, itemIndex);
}

/** Returns the name of the invalid field, parameter or header. */
function placeOf({ pointer, parameter, header }: Fault): string {
	return pointer?.slice(1).replace(/\//g, '.') || parameter || header || 'body';
}

/** Converts the relay's problem+json to an n8n error with its message and, as the description, the field or command. */
function problem(
	this: Caller,
	status: number,
	body: Problem | string,
	itemIndex?: number,
): NodeApiError {
	// Another server usually answers with HTML or text.
	const known: Problem = typeof body === 'object' && body !== null ? body : {};
	const more = [
		...(known.errors ?? []).map((fault) => `${placeOf(fault)}: ${fault.message}`),
		known.gateway_status && `The gateway said: ${known.gateway_status}`,
		known.command_id && `Command: ${known.command_id}`,
	].filter(Boolean);
	return new NodeApiError(this.getNode(), known as JsonObject, {
		message: known.detail ?? known.title ?? `The relay answered with HTTP status ${status}`,
		description: more.join('\n'),
		httpCode: String(status),
		itemIndex,
	});
}

/** Returns at most `limit` rows of a list, which it reads page by page. */
export async function list(
	this: Caller,
	path: string,
	qs: IDataObject = {},
	limit = Infinity,
	itemIndex?: number,
): Promise<IDataObject[]> {
	const rows: IDataObject[] = [];
	let cursor: string | undefined;
	do {
		const page = { ...qs, limit: Math.min(PAGE, limit - rows.length), cursor };
		const { body } = await call.call(this, 'GET', path, { qs: page, itemIndex });
		rows.push(...(body.data as IDataObject[]));
		cursor = (body.next_cursor as string | null) ?? undefined;
	} while (cursor && rows.length < limit);
	return rows;
}

/** Downloads a file from a signed link. Uses the credential's URL, because n8n may not reach the public one. */
export async function download(this: Caller, link: string): Promise<Buffer> {
	const { relayUrl } = await this.getCredentials<{ relayUrl: string }>('camsRelayApi');
	const { pathname, search } = new URL(link);
	const path = pathname.slice(pathname.lastIndexOf('/photos/'));
	const content = await this.helpers.httpRequestWithAuthentication.call(this, 'camsRelayApi', {
		method: 'GET',
		baseURL: relayUrl.replace(/\/+$/, ''),
		url: `${path}${search}`,
		encoding: 'arraybuffer',
	});
	return Buffer.from(content as ArrayBuffer);
}
