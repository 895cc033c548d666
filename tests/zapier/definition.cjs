'use strict';

/**
 * Prints what the app in a folder offers, with the fields that depend on what is chosen:
 *
 *     {"events": {type: [output keys]}, "triggers": {key: [output keys]},
 *      "actions": {name: {"fields": [input fields], "result": [output keys]}}, "creates": {key: the same}}
 */

const App = require(process.argv[2]);

async function fields(given, inputData) {
	const made = given.map((one) => (typeof one === 'function' ? one({}, { inputData }) : one));
	return (await Promise.all(made)).flat();
}

const keys = async (given, inputData) => (await fields(given, inputData)).map(({ key }) => key);

async function each(names, make) {
	return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await make(name)])));
}

async function main() {
	const any = App.triggers.any_event.operation;
	const run = App.creates.run_command.operation;
	const [types] = any.inputFields;
	const [command] = run.inputFields;
	const shown = async ({ inputFields, outputFields }, inputData) => ({
		fields: await fields(inputFields, inputData),
		result: await keys(outputFields, inputData),
	});
	const { run_command: _, ...creates } = App.creates;
	const hooks = Object.keys(App.triggers).filter((key) => !App.triggers[key].display.hidden);
	return {
		events: await each(Object.keys(types.choices), (type) =>
			keys(any.outputFields, { event_types: [type] }),
		),
		triggers: await each(hooks, (key) => keys(App.triggers[key].operation.outputFields, {})),
		actions: await each(Object.keys(command.choices), (name) => shown(run, { command: name })),
		creates: await each(Object.keys(creates), (key) => shown(creates[key].operation, {})),
	};
}

main().then((made) => console.log(JSON.stringify(made)));
