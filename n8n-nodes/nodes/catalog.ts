import type { INodePropertyOptions } from 'n8n-workflow';

import data from './catalog.json';

/** Events and actions from the relay's registry. `npm run catalog` builds catalog.json. */
export interface Catalog {
	events: EventType[];
	punch_types: Choice[];
	credentials: CredentialType[];
	command: Value[];
	/** The fields of each resource. */
	resources: Record<string, Choice[]>;
	actions: Action[];
}

export interface Choice {
	value: string;
	label: string;
}

/** A type of credential, and the flat field that contains its data. */
export interface CredentialType {
	type: string;
	label: string;
	data: string;
}

export interface EventType {
	type: string;
	label: string;
	description: string;
	fields: Value[];
	sample: Record<string, string | number | boolean | null>;
}

/** A field of an event or of a result. */
export interface Value {
	name: string;
	label: string;
	type: string;
	description: string;
}

export interface Action {
	name: string;
	label: string;
	summary: string;
	description: string;
	effect: 'read' | 'write' | 'destructive';
	subject: 'user' | 'log' | 'device';
	credentials: string[];
	fields: Field[];
}

/** A field of an action's body. */
export interface Field {
	name: string;
	label: string;
	kind:
		| 'device'
		| 'user'
		| 'text'
		| 'pin'
		| 'choice'
		| 'index'
		| 'file'
		| 'time'
		| 'flag'
		| 'confirm';
	required: boolean;
	description: string;
	example: string | number | boolean;
	options?: Choice[];
	minimum?: number;
	maximum?: number;
}

export const catalog = data as unknown as Catalog;

/** Converts the name of a flat field to that of a parameter in n8n: `user_id` to `userId`. */
export function camel(name: string): string {
	return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** Removes the full stop of a single sentence, as n8n's style requires. */
export function described(text: string): string {
	return /[.?!] /.test(text) ? text : text.replace(/\.$/, '');
}

export function sorted<Option extends { name: string }>(options: Option[]): Option[] {
	return options.sort((a, b) => a.name.localeCompare(b.name));
}

export function eventOptions(): INodePropertyOptions[] {
	return sorted(
		catalog.events.map(({ type, label, description }) => ({
			name: label,
			value: type,
			description: described(description),
		})),
	);
}
