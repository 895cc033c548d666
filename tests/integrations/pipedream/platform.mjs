// Runs a component as Pipedream's component API does, with its props, hooks, methods, HTTP interface, db and dedupe.
//
//   PROPS='{…}' node platform.mjs source PORT FILE    serves the endpoint at /, the hooks at POST /hooks/NAME, and
//                                                     values in its db at GET /db/KEY; prints each emitted event as a
//                                                     line {event, metadata}
//   PROPS='{…}' node platform.mjs action FILE         fills in the form, runs it, and prints the result
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

const INPUTS = {
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  integer: Number.isInteger,
  'string[]': (value) => Array.isArray(value) && value.every(INPUTS.string),
};
const given = JSON.parse(process.env.PROPS);

/** The props that a user fills in, as given. */
function filledIn(definitions) {
  const values = {};
  for (const [name, { type, optional, secret }] of Object.entries(definitions)) {
    if (type.startsWith('$.')) continue;
    if (!(type in INPUTS)) throw new Error(`${name}: there is no prop type ${type}`);
    if (secret && type !== 'string') throw new Error(`${name}: only a string may be secret`);
    if (given[name] === undefined) {
      if (!optional) throw new Error(`${name} is required`);
    } else if (INPUTS[type](given[name])) {
      values[name] = given[name];
    } else {
      throw new Error(`${name} is no ${type}`);
    }
  }
  return values;
}

function definitionsOf(component) {
  for (const name of ['name', 'version', 'type', 'run']) {
    if (!component[name]) throw new Error(`a component needs ${name}`);
  }
  const props = Object.entries(component.props);
  return Object.fromEntries(props.map(([name, prop]) => [name, typeof prop === 'string' ? { type: prop } : prop]));
}

/** The object that is `this` in a component's functions. */
function bound(component, values) {
  const self = { ...values };
  for (const [name, method] of Object.entries(component.methods ?? {})) self[name] = method.bind(self);
  return self;
}

async function source(port, component) {
  const definitions = definitionsOf(component);
  const self = bound(component, filledIn(definitions));
  const seen = new Set();
  const stored = new Map();
  let respond;
  for (const [name, { type, customResponse }] of Object.entries(definitions)) {
    if (type === '$.service.db') {
      self[name] = {
        get: (key) => (stored.has(key) ? JSON.parse(stored.get(key)) : undefined),
        set: (key, value) => void stored.set(key, JSON.stringify(value)),
      };
    } else if (type === '$.interface.http') {
      if (!customResponse) throw new Error('respond() needs customResponse');
      self[name] = { endpoint: `http://127.0.0.1:${port}`, respond: (answer) => respond(answer) };
    }
  }
  self.$emit = (event, metadata) => {
    if (component.dedupe === 'unique' && (!metadata.id || seen.has(metadata.id))) return;
    seen.add(metadata.id);
    console.log(JSON.stringify({ event, metadata }));
  };

  createServer(async (request, response) => {
    const url = new URL(request.url, 'http://localhost');
    const bodyRaw = await text(request);
    const end = ({ status, headers = {}, body = '' }) => response.writeHead(status, headers).end(body);
    try {
      if (url.pathname.startsWith('/hooks/')) {
        await component.hooks[url.pathname.slice('/hooks/'.length)].call(self);
        end({ status: 204 });
        return;
      }
      if (url.pathname.startsWith('/db/')) {
        end({ status: 200, body: stored.get(url.pathname.slice('/db/'.length)) });
        return;
      }
      respond = end;
      const body = JSON.parse(bodyRaw);
      const query = Object.fromEntries(url.searchParams);
      await component.run.call(self, {
        method: request.method, path: url.pathname, query, headers: request.headers, bodyRaw, body,
      });
    } catch (error) {
      console.error(error);
      end({ status: 500 });
    }
  }).listen(Number(port), '127.0.0.1');
}

async function action(component) {
  const definitions = definitionsOf(component);
  const self = bound(component, filledIn(definitions));
  const options = {};
  for (const [name, prop] of Object.entries(definitions)) {
    if (prop.options) options[name] = await prop.options.call(self);
  }
  const additional = await component.additionalProps.call(self, definitions);
  Object.assign(self, filledIn(additional));
  const exported = {};
  const returned = await component.run.call(self, { $: { export: (name, value) => { exported[name] = value; } } });
  console.log(JSON.stringify({ options, additional, exported, returned }));
}

const [kind, ...rest] = process.argv.slice(2);
const { default: component } = await import(rest.at(-1));
await (kind === 'source' ? source(rest[0], component) : action(component));
