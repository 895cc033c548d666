// Adds a user with a card to a device: enrol-user.mjs DEVICE_ID USER_ID CARD_NUMBER
import { Relay } from 'cams-relay-client';

const [deviceId, userId, cardNumber] = process.argv.slice(2);
const relay = new Relay({ url: process.env.RELAY_URL, apiKey: process.env.RELAY_API_KEY });
const fields = { user_id: userId, first_name: 'Asha', card_number: cardNumber };
const command = await relay.run('add-user', deviceId, fields);
console.log(command.id, command.status);
