import { webCrypto } from './crypto.js';
import type { Event } from './types.js';

/** A delivery isn't from the relay, was changed, or is too old. Answer it with 401. */
export class InvalidSignature extends Error {
  override name = 'InvalidSignature';
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}

interface Key {
  bytes: Uint8Array<ArrayBuffer>;
  version: 'v1' | 'v1a';
  algorithm: { name: 'HMAC'; hash: 'SHA-256' } | { name: 'Ed25519' };
}

function keyOf(secret: string): Key {
  if (secret.startsWith('whpk_')) {
    const bytes = bytesOf(secret.slice(5));
    if (bytes?.length === 32) return { bytes, version: 'v1a', algorithm: { name: 'Ed25519' } };
    throw new TypeError('The public key is wrong. It begins with whpk_, followed by the Base64 of 32 bytes.');
  }
  const bytes = bytesOf(secret.replace(/^whsec_/, ''));
  if (bytes?.length) return { bytes, version: 'v1', algorithm: { name: 'HMAC', hash: 'SHA-256' } };
  throw new TypeError('The secret is wrong. It begins with whsec_, followed by Base64.');
}

/**
 * Check a delivery's signature (Standard Webhooks), and return its events: one, or several if it is a batch.
 *
 * A delivery with several signatures, such as after a rotation, is valid if one of them is. WebCrypto compares in
 * constant time. The subscription's format must be `flat`, which is the default.
 *
 * @param secret The subscription's secret (`whsec_…`), a public key of the relay (`whpk_…`, from `signingKeys`), or
 *   several of these. Public keys need Node.js 18.4, or a browser with Ed25519 in WebCrypto.
 * @param headers The request's headers: `Headers`, or an object such as Node's `request.headers`.
 * @param body The body's bytes exactly as received, before it is parsed.
 * @param tolerance How many seconds the timestamp may differ from this machine's clock.
 * @throws InvalidSignature, and TypeError if the secret itself or the type of the body is wrong.
 */
export async function verify(
  secret: string | readonly string[],
  headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>,
  body: Uint8Array | ArrayBuffer,
  { tolerance = 300 }: { tolerance?: number } = {},
): Promise<Event[]> {
  const keys = (typeof secret === 'string' ? [secret] : secret).map(keyOf);
  if (!keys.length) throw new TypeError('There is no secret or public key to check the signature with.');
  if (!(body instanceof Uint8Array || body instanceof ArrayBuffer)) {
    throw new TypeError('The body must be the received bytes. JSON that was parsed and written again differs.');
  }
  const content = new Uint8Array(body);
  const given = new Map<string, string>();
  for (const [name, value] of headers instanceof Headers ? headers : Object.entries(headers)) {
    if (typeof value === 'string') given.set(name.toLowerCase(), value);
  }
  const required = (name: string): string => {
    const value = given.get(name);
    if (value === undefined) throw new InvalidSignature(`The header ${name} is missing.`);
    return value;
  };
  const [id, timestamp] = [required('webhook-id'), required('webhook-timestamp')];
  const signatures = required('webhook-signature').split(' ');
  if (!/^\d+$/.test(timestamp)) throw new InvalidSignature('webhook-timestamp is not a number.');
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > tolerance) {
    throw new InvalidSignature("webhook-timestamp is too old or too new. Check this machine's clock.");
  }
  const head = new TextEncoder().encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(head.length + content.length);
  signed.set(head);
  signed.set(content, head.length);
  const { subtle } = await webCrypto();
  for (const { bytes, version, algorithm } of keys) {
    const key = await subtle.importKey('raw', bytes, algorithm, false, ['verify']);
    for (const signature of signatures) {
      const [prefix, text] = signature.split(',', 2);
      const digest = prefix === version ? bytesOf(text ?? '') : null;
      if (digest && (await subtle.verify(algorithm.name, key, digest, signed))) {
        const found = JSON.parse(new TextDecoder().decode(content)) as Event | Event[];
        return Array.isArray(found) ? found : [found];
      }
    }
  }
  throw new InvalidSignature('No signature is valid. Compare the secret with that of the subscription.');
}
