import {
	NodeApiError,
	NodeConnectionTypes,
	type IDataObject,
	type IHookFunctions,
	type INodeExecutionData,
	type INodeType,
	type INodeTypeDescription,
	type IWebhookFunctions,
	type IWebhookResponseData,
	type JsonObject,
} from 'n8n-workflow';

import { deviceOptions, searchUsers } from '../pickers';
import { download } from '../relay';
import { properties } from './properties';
import { known, remember } from './repeated';
import { refusal } from './signature';
import { exists, kept, subscribe, unsubscribe } from './subscription';

export class CamsBiometricsTrigger implements INodeType {
	description: INodeTypeDescription = {
		displayName: 'Cams Biometrics Trigger',
		name: 'camsBiometricsTrigger',
		icon: { light: 'file:../../icons/cams.svg', dark: 'file:../../icons/cams.dark.svg' },
		group: ['trigger'],
		version: 1,
		subtitle: '={{$parameter["events"].join(", ")}}',
		description:
			'Starts the workflow when someone punches on a biometric device, or a user or device changes',
		defaults: { name: 'Cams Biometrics Trigger' },
		inputs: [],
		outputs: [NodeConnectionTypes.Main],
		credentials: [{ name: 'camsRelayApi', required: true }],
		webhooks: [
			{
				name: 'default',
				httpMethod: 'POST',
				responseMode: 'onReceived',
				responseData: 'noData',
				path: 'webhook',
			},
		],
		triggerPanel: {
			header: 'Pull in events from Cams Biometrics',
			executionsHelp: {
				inactive:
					'To test the workflow, click the button, then punch on a device. If no event arrives for a while, the relay sends a sample. When the workflow is ready, publish it, so that each event starts it.',
				active:
					'To test the workflow, click the button, then punch on a device. If no event arrives for a while, the relay sends a sample. In the meantime, each event also starts the published workflow.',
			},
			activationHint: 'Once you’ve finished building, publish the workflow to have events run it.',
		},
		properties,
	};

	methods = { loadOptions: { deviceOptions }, listSearch: { searchUsers } };

	webhookMethods = {
		default: {
			async checkExists(this: IHookFunctions): Promise<boolean> {
				return await exists.call(this);
			},
			async create(this: IHookFunctions): Promise<boolean> {
				return await subscribe.call(this);
			},
			async delete(this: IHookFunctions): Promise<boolean> {
				return await unsubscribe.call(this);
			},
		},
	};

	async webhook(this: IWebhookFunctions): Promise<IWebhookResponseData> {
		const request = this.getRequestObject();
		if (!request.rawBody) await request.readRawBody();
		const subscription = kept.call(this);
		const headers = this.getHeaderData();
		const refused = subscription.secret
			? refusal(subscription.secret, headers, request.rawBody)
			: 'This workflow has no subscription. Publish it again.';
		if (refused) {
			this.getResponseObject().status(401).json({ message: refused }).end();
			return { noWebhookResponse: true };
		}

		const options = this.getNodeParameter('options', {}) as IDataObject;
		if (options.dropRepeated) {
			const of = [subscription.id as string, headers['webhook-id'] as string] as const;
			if (known(...of)) return { webhookResponse: { message: 'Known already' } };
			// If n8n can't start the workflow, the relay retries the delivery. It must not count as a repetition then.
			const response = this.getResponseObject();
			response.once('finish', () => {
				if (response.statusCode < 300) remember(...of);
			});
		}
		const body = this.getBodyData() as IDataObject | IDataObject[];
		const events = Array.isArray(body) ? body : [body];
		const items = options.downloadPhoto
			? await Promise.all(events.map(async (event) => await withPhoto.call(this, event)))
			: events.map((json) => ({ json }));
		return { workflowData: [items] };
	}
}

/**
 * Returns the event with its photo as binary data, or without it if the link has expired. Any other error is thrown, so
 * that the relay retries the delivery.
 */
async function withPhoto(this: IWebhookFunctions, event: IDataObject): Promise<INodeExecutionData> {
	if (event.type !== 'attendance.photo' || event.test) return { json: event };
	try {
		const content = await download.call(this, event.photo_url as string);
		const mime = event.photo_mime as string;
		const name = `${event.id as string}.${mime.split('/')[1]}`;
		return {
			json: event,
			binary: { photo: await this.helpers.prepareBinaryData(content, name, mime) },
		};
	} catch (error) {
		const { httpCode, response } = error as { httpCode?: string; response?: { status?: number } };
		const gone = ['403', '404'].includes(String(httpCode ?? response?.status));
		if (!gone) throw new NodeApiError(this.getNode(), error as JsonObject);
		return { json: event };
	}
}
