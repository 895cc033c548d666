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
	/** Statuses that are an answer too, not an error. */
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

/** Calls the relay's API. Any status but 2xx and those of `also` is a NodeApiError with the relay's sentence. */
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

/** The name of the field, parameter or header that is at fault. */
function placeOf({ pointer, parameter, header }: Fault): string {
	return pointer?.slice(1).replace(/\//g, '.') || parameter || header || 'body';
}

/** The relay's problem+json as n8n's error: its sentence, and beneath which field or command it was about. */
function problem(
	this: Caller,
	status: number,
	body: Problem | string,
	itemIndex?: number,
): NodeApiError {
	// Anything else than the relay answers in HTML or text.
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

/** The rows of a list of the relay, `limit` at most, page by page. */
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

/** A file behind a signed link of the relay. The credential's URL is used: the public one may not be for n8n. */
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
