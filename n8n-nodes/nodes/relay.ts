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

interface ConnectionError {
	code?: string;
	cause?: { code?: string };
	message: string;
	/** In n8n's own errors, the original messages. */
	messages?: string[];
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
		// n8n would replace the message by its own if it were given the original error, or a message with its code.
		throw new NodeApiError(
			this.getNode(),
			{},
			{ ...unreachable(error as ConnectionError, baseURL), itemIndex },
		);
	}
	const { statusCode: status } = response;
	if ((status >= 200 && status < 300) || also.includes(status)) {
		return { status, headers: response.headers, body: response.body };
	}
	throw problem.call(this, status, response.body as Problem, baseURL, itemIndex);
}

/** Returns the message and description for a relay that doesn't answer. */
function unreachable(
	error: ConnectionError,
	baseURL: string,
): { message: string; description: string } {
	const texts = [error.code, error.cause?.code, error.message, ...(error.messages ?? [])].join(' ');
	if (/EPROTO|ERR_SSL|wrong version number/i.test(texts)) {
		return {
			message: `The server at ${baseURL} doesn't use https`,
			description: 'Change the credential’s Relay URL to begin with http://.',
		};
	}
	const reason = /\bE[A-Z_]{4,}\b/.exec(texts)?.[0] ?? error.message;
	return {
		message: `The relay can't be reached at ${baseURL}`,
		description: `Check the credential’s Relay URL, and that the relay is running (${reason}).`,
	};
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
	baseURL: string,
	itemIndex?: number,
): NodeApiError {
	// Another server usually answers with HTML or text.
	const known: Problem = typeof body === 'object' && body !== null ? body : {};
	if (!known.title && !known.detail) {
		return new NodeApiError(this.getNode(), known as JsonObject, {
			message: `There is no cams-relay at ${baseURL} (HTTP status ${status})`,
			description: 'Check the credential’s Relay URL. It is the relay’s own URL, without a path.',
			httpCode: String(status),
			itemIndex,
		});
	}
	const more = [
		...(known.errors ?? []).map((fault) => `${placeOf(fault)}: ${fault.message}`),
		known.gateway_status && `The gateway said: ${known.gateway_status}`,
		known.command_id && `Command: ${known.command_id}`,
	].filter(Boolean);
	return new NodeApiError(this.getNode(), known as JsonObject, {
		message: known.detail ?? known.title,
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
		const wanted = { ...qs, limit: Math.min(PAGE, limit - rows.length), cursor };
		const found = await page.call(this, path, wanted, itemIndex);
		rows.push(...found.rows);
		cursor = found.cursor;
	} while (cursor && rows.length < limit);
	return rows;
}

/** Returns one page of a list, and the cursor of the next one. */
export async function page(
	this: Caller,
	path: string,
	qs: IDataObject = {},
	itemIndex?: number,
): Promise<{ rows: IDataObject[]; cursor?: string }> {
	const { body } = await call.call(this, 'GET', path, { qs: { limit: PAGE, ...qs }, itemIndex });
	return {
		rows: body.data as IDataObject[],
		cursor: (body.next_cursor as string | null) ?? undefined,
	};
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
