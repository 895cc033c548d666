// Uses the client without anything of Node.js, in any runtime: Node.js, Deno, Bun or a browser.
import { InvalidSignature, Relay, verify } from '../dist/index.js';

const base64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));

function check(holds, what) {
  if (!holds) throw new Error(what);
}

async function isRefused(...parameters) {
  try {
    await verify(...parameters);
  } catch (error) {
    return error instanceof InvalidSignature;
  }
  return false;
}

/** Check signatures of both kinds. Throws an error if one isn't verified as it should be. */
export async function signatures() {
  const { subtle } = globalThis.crypto ?? (await import('node:crypto')).webcrypto; // Node.js 18
  const body = new TextEncoder().encode('{"id": "evt_1", "type": "attendance.punch"}');
  const timestamp = String(Math.floor(Date.now() / 1000));
  const signed = new TextEncoder().encode(`msg_1.${timestamp}.${new TextDecoder().decode(body)}`);
  const bytes = new TextEncoder().encode('a made-up secret for tests');
  const hmac = await subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  const pair = await subtle.generateKey('Ed25519', true, ['sign', 'verify']);
  const secret = `whsec_${base64(bytes)}`;
  const publicKey = `whpk_${base64(await subtle.exportKey('raw', pair.publicKey))}`;
  const headersOf = (signature) => ({
    'webhook-id': 'msg_1',
    'webhook-timestamp': timestamp,
    'webhook-signature': signature,
  });
  const both = {
    [secret]: headersOf(`v1,${base64(await subtle.sign('HMAC', hmac, signed))}`),
    [publicKey]: headersOf(`v1a,${base64(await subtle.sign('Ed25519', pair.privateKey, signed))}`),
  };
  for (const [key, headers] of Object.entries(both)) {
    check((await verify(key, headers, body))[0].id === 'evt_1', `${key} verifies`);
    check((await verify([secret, publicKey], new Headers(headers), body.buffer)).length === 1, 'one of two fits');
    check(await isRefused(key, headers, new Uint8Array([...body, 32])), 'a changed body is refused');
  }
  check(await isRefused(secret, both[publicKey], body), 'a signature of the other kind is refused');
}

/** Call a relay: a list page by page, a POST, an error, and the first event of a stream. */
export async function calls(url, apiKey) {
  const relay = new Relay({ url, apiKey });
  const devices = [];
  for await (const device of relay.pages('/v1/devices', { limit: 1 })) devices.push(device);
  check(devices.length >= 2, 'devices are paged');
  check((await relay.signingKeys())[0].startsWith('whpk_'), 'there is a public key');
  const made = await relay.request('POST', '/v1/api-keys', { body: { name: 'a runtime', scopes: ['events:read'] } });
  check(made.key, 'a key is made');
  const wrong = await relay.event('evt_unknown').catch((error) => error);
  check(wrong.code === 'not_found', 'an error has a code');
  const ending = new AbortController();
  for await (const event of relay.follow({ since: '2020-01-01T00:00:00Z', signal: ending.signal })) {
    check(event.type, 'an event has a type');
    ending.abort();
    break;
  }
}

const environment = globalThis.Deno?.env.toObject() ?? globalThis.process?.env ?? {};
if (environment.RELAY_URL) {
  await signatures();
  await calls(environment.RELAY_URL, environment.RELAY_API_KEY);
  console.log('portable: everything works');
}
