// tests/clients/test_typescript_client.py runs this with a relay. DEVICE has punches of the users 31, 32 and 33.
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { InvalidSignature, Relay, RelayError, verify } from 'cams-relay-client';

const secret = 'whsec_' + Buffer.from('a made-up secret for tests').toString('base64');
const body = Buffer.from('{"id": "evt_1", "type": "a.type.of.tomorrow"}');
const relay = new Relay({ url: process.env.RELAY_URL, apiKey: process.env.RELAY_API_KEY });

function signed({ at = Date.now() / 1000, of = body } = {}) {
  const timestamp = String(Math.floor(at));
  const key = Buffer.from('a made-up secret for tests');
  const digest = createHmac('sha256', key).update(`msg_1.${timestamp}.`).update(of).digest('base64');
  return { 'Webhook-Id': 'msg_1', 'Webhook-Timestamp': timestamp, 'Webhook-Signature': `v1,${digest}` };
}

async function serving(answers, use) {
  const keys = [];
  const server = createServer((request, response) => {
    keys.push(request.headers['idempotency-key']);
    const [status, headers] = answers.shift();
    response.writeHead(status, headers).end('{"code": "unavailable"}');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await use(new Relay({ url: `http://127.0.0.1:${server.address().port}`, apiKey: 'k' }));
  } finally {
    server.closeAllConnections();
    server.close();
  }
  return keys;
}

test('a valid signature is accepted, and an unknown type is passed on', async () => {
  assert.equal((await verify(secret, signed(), body))[0].type, 'a.type.of.tomorrow');
  assert.equal((await verify(secret, new Headers(signed()), body)).length, 1);
});

test('one valid signature of several is enough', async () => {
  const headers = signed();
  headers['Webhook-Signature'] = `v1a,AAAA v1,AAAA v1,* ${headers['Webhook-Signature']}`;
  assert.ok(await verify(secret, headers, body));
});

test('a public key verifies an Ed25519 signature, beside secrets', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const publicOf = (key) => 'whpk_' + Buffer.from(key.export({ format: 'jwk' }).x, 'base64url').toString('base64');
  const [mine, other] = [publicOf(publicKey), publicOf(generateKeyPairSync('ed25519').publicKey)];
  const headers = signed();
  const content = Buffer.concat([Buffer.from(`msg_1.${headers['Webhook-Timestamp']}.`), body]);
  headers['Webhook-Signature'] = `v1,AAAA v1a,${sign(null, content, privateKey).toString('base64')}`;
  for (const keys of [mine, [secret, other, mine]]) assert.equal((await verify(keys, headers, body)).length, 1);
  assert.ok(await verify([mine, secret], signed(), body));
  for (const keys of [other, secret, [secret, other]]) {
    await assert.rejects(verify(keys, headers, body), InvalidSignature);
  }
  await assert.rejects(verify(mine, headers, Buffer.from(`${body} `)), InvalidSignature);
  for (const wrong of [[], 'whpk_', 'whpk_AAAA']) await assert.rejects(verify(wrong, signed(), body), TypeError);
});

test('the relay has a public key', async () => {
  const [key] = await relay.signingKeys();
  assert.match(key, /^whpk_[A-Za-z0-9+/]{43}=$/);
});

test('a batch is several events', async () => {
  const batch = Buffer.from(`[${body},${body}]`);
  assert.equal((await verify(secret, signed({ of: batch }), batch)).length, 2);
});

test('what was changed, is missing or is too old is refused', async () => {
  const refused = (headers, of = body) => assert.rejects(verify(secret, headers, of), InvalidSignature);
  for (const name of Object.keys(signed())) {
    for (const value of [undefined, '', 'other', 'v1,', 'é']) await refused({ ...signed(), [name]: value });
  }
  await refused(signed(), Buffer.from(`${body} `));
  for (const seconds of [-330, 330]) await refused(signed({ at: Date.now() / 1000 + seconds }));
  await refused({ ...signed(), 'Webhook-Signature': signed()['Webhook-Signature'].replace('v1,', 'v1a,') });
});

test('a wrong secret, or a text instead of bytes, is a mistake of the program', async () => {
  for (const wrong of ['', 'whsec_', 'whsec_*']) await assert.rejects(verify(wrong, signed(), body), TypeError);
  await assert.rejects(verify(secret, signed(), String(body)), TypeError);
});

test('a POST is repeated with the same key if the relay says so', async () => {
  const soon = { 'Retry-After': '0' };
  const keys = await serving([[503, soon], [429, soon], [200, {}]], (to) => to.request('POST', '/x', { body: {} }));
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
  assert.ok(keys[0]);
});

test('other errors are not repeated', async () => {
  for (const answer of [[502, {}], [422, {}], [503, { 'Retry-After': '3600' }]]) {
    const keys = await serving([answer], (to) => assert.rejects(to.request('POST', '/x', { body: {} }), RelayError));
    assert.equal(keys.length, 1);
  }
});

test('errors have a code and name the faults', async () => {
  await assert.rejects(relay.event('evt_unknown/..'), { status: 404, code: 'not_found' });
  await assert.rejects(relay.subscribe('http://127.0.0.1:9/', ['no.such.type']), (error) => {
    assert.equal(error.message.split(error.errors[0].message).length, 2);
    return true;
  });
});

test('lists are paged', async () => {
  const filters = { type: 'attendance.punch', device_id: process.env.DEVICE };
  const users = [];
  for await (const event of relay.pages('/v1/events', { ...filters, limit: 1 })) users.push(event.user_id);
  assert.deepEqual(users, ['33', '32', '31']);
});

test('events are yielded oldest first after an event', async () => {
  const filters = { type: 'attendance.punch', device_id: process.env.DEVICE };
  const all = [];
  for await (const event of relay.events({ ...filters, oldestFirst: true })) all.push(event);
  assert.deepEqual(all.map((event) => event.user_id), ['31', '32', '33']);
  const users = [];
  for await (const event of relay.events({ ...filters, after: all[0].id })) users.push(event.user_id);
  assert.deepEqual(users, ['32', '33']);
});

test('follow continues after an event, and ends when it is aborted', async () => {
  const filters = { type: 'attendance.punch', device_id: process.env.DEVICE };
  const stored = [];
  for await (const event of relay.events(filters)) stored.push(event);
  const ending = new AbortController();
  const users = [];
  for await (const event of relay.follow({ ...filters, after: stored.at(-1).id, signal: ending.signal })) {
    users.push(event.user_id);
    if (users.length === 2) ending.abort();
  }
  assert.deepEqual(users, ['32', '33']);
});
