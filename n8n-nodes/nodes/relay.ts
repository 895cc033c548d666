import {
	NodeApiError,
	type IDataObject,
	type IExecuteFunctions,
	type IHookFunctions,
	type IHttpRequestMethods,
	type IHttpRequestOptions,
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
/** What a proxy answers if the server behind it doesn't. */
const BEHIND_PROXY = [502, 503, 504];
/** The beginning of the relay's message for a URL that it doesn't have, for example if the Relay URL ends with /v1. */
const UNKNOWN_ENDPOINT = 'The requested URL was not found';

/** Calls the relay's API. Throws a NodeApiError with the relay's message unless the status is 2xx or in `also`. */
export async function call(
	this: Caller,
	method: IHttpRequestMethods,
	path: string,
	options: Call = {},
): Promise<Answer> {
	return (await request.call(this, method, path, options, { json: true })) as Answer;
}

/** Reads a file from the relay's API. Throws a NodeApiError with the relay's message unless the status is 2xx. */
export async function file(
	this: Caller,
	path: string,
	options: Call,
): Promise<{ content: Buffer; name: string; mime: string }> {
	const answer = await request.call(this, 'GET', path, options, { encoding: 'arraybuffer' });
	const { 'content-disposition': disposition, 'content-type': mime } = answer.headers;
	const name = /filename="?([^";]+)/.exec(String(disposition))?.[1];
	return {
		content: Buffer.from(answer.body as unknown as ArrayBuffer),
		name: name ?? 'file',
		mime: String(mime).split(';')[0],
	};
}

async function request(
	this: Caller,
	method: IHttpRequestMethods,
	path: string,
	{ body, qs, headers, also = [], itemIndex }: Call,
	how: Pick<IHttpRequestOptions, 'json' | 'encoding'>,
): Promise<{ status: number; headers: IDataObject; body: unknown }> {
	const { relayUrl } = await this.getCredentials<{ relayUrl: string }>('camsRelayApi');
	const baseURL = relayUrl.replace(/\/+$/, '');
	let response: { statusCode: number; headers: IDataObject; body: unknown };
	try {
		response = await this.helpers.httpRequestWithAuthentication.call(this, 'camsRelayApi', {
			method,
			baseURL,
			url: path,
			body,
			qs,
			headers: headers as Record<string, string>,
			...how,
			disableFollowRedirect: true,
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
	throw problem.call(this, response, baseURL, itemIndex);
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

/** Returns the fields of the relay's problem+json. Another server usually answers with HTML or text, which has none. */
function problemIn(body: unknown): Problem {
	if (typeof body !== 'object' || body === null) return {};
	if (!Buffer.isBuffer(body) && !(body instanceof ArrayBuffer)) return body as Problem;
	try {
		return problemIn(JSON.parse(Buffer.from(body as ArrayBuffer).toString()));
	} catch {
		return {};
	}
}

/** Returns the message and description for an answer that isn't the relay's, or from a wrong path of it. */
function elsewhere(
	status: number,
	headers: IDataObject,
	baseURL: string,
): { message: string; description: string } {
	if (status >= 300 && status < 400 && headers.location) {
		const { origin } = new URL(String(headers.location), baseURL);
		return {
			message: `${baseURL} redirects to ${origin}`,
			description: `Change the credential’s Relay URL to ${origin}, or to the relay’s own URL.`,
		};
	}
	if (BEHIND_PROXY.includes(status)) {
		return {
			message: `The relay behind ${baseURL} can't be reached (HTTP status ${status})`,
			description: 'A proxy answered instead. Check that the relay is running.',
		};
	}
	return {
		message: `There is no cams-relay at ${baseURL} (HTTP status ${status})`,
		description: 'Check the credential’s Relay URL. It is the relay’s own URL, without a path.',
	};
}

/** Converts the relay's problem+json to an n8n error with its message and, as the description, the field or command. */
function problem(
	this: Caller,
	{
		statusCode: status,
		headers,
		body,
	}: { statusCode: number; headers: IDataObject; body: unknown },
	baseURL: string,
	itemIndex?: number,
): NodeApiError {
	const known = problemIn(body);
	if ((!known.title && !known.detail) || known.detail?.startsWith(UNKNOWN_ENDPOINT)) {
		return new NodeApiError(this.getNode(), known as JsonObject, {
			...elsewhere(status, headers, baseURL),
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
