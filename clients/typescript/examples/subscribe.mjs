// Subscribes a URL to all punches, and prints the secret that your receiver needs: subscribe.mjs URL
import { Relay } from 'cams-relay-client';

const relay = new Relay({ url: process.env.RELAY_URL, apiKey: process.env.RELAY_API_KEY });
const subscription = await relay.subscribe(process.argv[2], ['attendance.punch']);
console.log(subscription.id, subscription.secret);
