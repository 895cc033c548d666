// Receives deliveries from cams-relay: `WEBHOOK_SECRET=whsec_… node receiver.mjs [PORT]`.
// Requires only Node.js 18 or later.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';

const key = Buffer.from((process.env.WEBHOOK_SECRET ?? '').replace(/^whsec_/, ''), 'base64');
if (!key.length) throw new Error('Set WEBHOOK_SECRET.'); // with an empty key, anyone could sign deliveries
const seen = new Set(); // webhook-ids; in production, use a unique column in the table in which you store events

function isGenuine(headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures = '' } = headers;
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
  const expected = Buffer.from(`v1,${signature}`);
  const fresh = Math.abs(Date.now() / 1000 - Number(timestamp)) < 300;
  // After a secret was rotated, deliveries have two signatures for a while. One must match.
  const given = signatures.split(' ').map((one) => Buffer.from(one));
  return fresh && given.some((one) => one.length === expected.length && timingSafeEqual(one, expected));
}

async function answer(request) {
  const body = await buffer(request);
  if (!isGenuine(request.headers, body)) return 401;
  const id = request.headers['webhook-id'];
  if (!seen.has(id)) {
    for (const event of [JSON.parse(body)].flat()) {
      console.log(JSON.stringify(event)); // process the event here
    }
    seen.add(id); // only now, so that a delivery that failed above is retried
  }
  return 204;
}

createServer(async (request, response) => {
  const status = await answer(request).catch((error) => console.error(error) ?? 500);
  response.writeHead(status).end();
}).listen(Number(process.argv[2] ?? 9000), '127.0.0.1');
