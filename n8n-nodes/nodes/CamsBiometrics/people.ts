import {
	NodeOperationError,
	type IDataObject,
	type IExecuteFunctions,
	type INodeExecutionData,
} from 'n8n-workflow';

import { call, file } from '../relay';
import { chosenFields } from './output';
import { filters, get, getAll, path, text, type Read } from './reading';

/** Returns the beginning of a time as text: its date, or its month. It may be text, or n8n's or JavaScript's time. */
function beginning(this: IExecuteFunctions, name: 'date' | 'month', itemIndex: number): string {
	const value = this.getNodeParameter(name, itemIndex) as unknown;
	const time = value as { toISO?: () => string; toISOString?: () => string } | null;
	const found = time?.toISO?.() ?? time?.toISOString?.() ?? String(value ?? '');
	return found.trim().slice(0, name === 'date' ? 10 : 7);
}

async function getMonth(this: IExecuteFunctions, itemIndex: number): Promise<INodeExecutionData[]> {
	const { body } = await call.call(
		this,
		'GET',
		path.call(this, 'attendance', 'userId', itemIndex),
		{
			// Without format, a user ID that ends with .csv would be that of a file.
			qs: {
				month: beginning.call(this, 'month', itemIndex),
				format: 'json',
				...filters.call(this, itemIndex),
			},
			itemIndex,
		},
	);
	const { data, ...totals } = body;
	const days = (data as IDataObject[]).map((row) =>
		chosenFields.call(this, 'attendance', row, itemIndex),
	);
	if (this.getNodeParameter('splitDays', itemIndex)) return days.map((json) => ({ json }));
	return [{ json: { ...totals, days } }];
}

async function exportFile(
	this: IExecuteFunctions,
	itemIndex: number,
): Promise<INodeExecutionData[]> {
	const ending = this.getNodeParameter('fileFormat', itemIndex) as string;
	const period = this.getNodeParameter('period', itemIndex) as 'date' | 'month';
	const name = this.getNodeParameter('binaryPropertyName', itemIndex) as string;
	const found = await file.call(this, `/v1/attendance.${ending}`, {
		qs: { [period]: beginning.call(this, period, itemIndex), ...filters.call(this, itemIndex) },
		itemIndex,
	});
	const binary = await this.helpers.prepareBinaryData(found.content, found.name, found.mime);
	return [{ json: { file_name: found.name }, binary: { [name]: binary } }];
}

/** Returns the query that selects the entry of one device, or the entry for all devices. */
function entry(this: IExecuteFunctions, itemIndex: number): IDataObject {
	const { device_id: device } = this.getNodeParameter(
		'additionalFields',
		itemIndex,
		{},
	) as IDataObject;
	return device ? { device_id: device } : {};
}

/** Returns the operation that creates an employee, changes one, or does either. */
function change(method: 'PUT' | 'PATCH', headers?: IDataObject): Read {
	return async function (itemIndex) {
		const { device_id, ...more } = this.getNodeParameter(
			'additionalFields',
			itemIndex,
			{},
		) as IDataObject;
		const given = method === 'PUT' ? { employee_id: text.call(this, 'employeeId', itemIndex) } : {};
		const body = { ...given, ...more };
		if (Object.keys(body).length === 0) {
			throw new NodeOperationError(this.getNode(), 'There is nothing to update', {
				description: 'Add the fields that you want to change.',
				itemIndex,
			});
		}
		const target = path.call(this, 'employee', 'userId', itemIndex);
		const qs = device_id ? { device_id } : {};
		const answer = await call.call(this, method, target, { body, qs, headers, itemIndex });
		return [{ json: answer.body }];
	};
}

async function remove(this: IExecuteFunctions, itemIndex: number): Promise<INodeExecutionData[]> {
	const target = path.call(this, 'employee', 'userId', itemIndex);
	await call.call(this, 'DELETE', target, { qs: entry.call(this, itemIndex), itemIndex });
	return [{ json: { deleted: true } }];
}

/** The operations on attendance and employees. */
export const people: Record<string, Record<string, Read>> = {
	attendance: {
		export: exportFile,
		getAll: getAll('attendance', function (itemIndex) {
			return { qs: { date: beginning.call(this, 'date', itemIndex) } };
		}),
		getMonth,
	},
	employee: {
		create: change('PUT', { 'If-None-Match': '*' }),
		delete: remove,
		get: get('employee', 'userId', entry),
		getAll: getAll('employee'),
		update: change('PATCH'),
		upsert: change('PUT'),
	},
};
