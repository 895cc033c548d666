// Calls the functions of the piece with the context that Activepieces' engine gives them.
//
//   node engine.mjs PORT PIECE
//
// POST / with {"of", "flow", "auth", "props", "payload", "webhookUrl", "name"} answers with the function's result, or
// with 500 and the error if it throws. `of` is one of validate, onEnable, onDisable, test, run (of the trigger), options
// (of the prop `name`), fields, action. Each flow has its own store; `stored` returns its value of the key `name`.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { json } from 'node:stream/consumers';

const [port, piecePath] = process.argv.slice(2);
const [piece] = Object.values(createRequire(import.meta.url)(piecePath));
const [trigger] = Object.values(piece.triggers());
const [action] = Object.values(piece.actions());
const stores = {};

function storeOf(flow) {
  const stored = (stores[flow] ??= new Map());
  return {
    get: async (key) => (stored.has(key) ? JSON.parse(stored.get(key)) : null),
    put: async (key, value) => { stored.set(key, JSON.stringify(value)); return value; },
    delete: async (key) => { stored.delete(key); },
  };
}

async function call({ of, flow, auth: values, props = {}, payload, webhookUrl, name }) {
  const auth = { type: 'CUSTOM_AUTH', props: values };
  const context = { auth, propsValue: props, store: storeOf(flow), webhookUrl, payload };
  if (of === 'stored') return context.store.get(name);
  if (of === 'validate') return piece.auth.validate({ auth: values });
  if (of === 'options') return { ...trigger.props, ...action.props }[name].options({ auth, ...props }, {});
  if (of === 'fields') return action.props.fields.props({ auth, ...props }, {});
  return of === 'action' ? action.run(context) : trigger[of](context);
}

createServer(async (request, response) => {
  try {
    response.end(JSON.stringify((await call(await json(request))) ?? null));
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
}).listen(Number(port), '127.0.0.1');
