// Enables a user, and says what to do if that fails: failed-command.mjs DEVICE_ID USER_ID
import { CommandError, CommandNotEnded, OutcomeUnknown, Relay } from 'cams-relay-client';

const [deviceId, userId] = process.argv.slice(2);
const relay = new Relay({ url: process.env.RELAY_URL, apiKey: process.env.RELAY_API_KEY });
try {
  await relay.run('enable-user', deviceId, { user_id: userId });
  console.log('Enabled.');
} catch (error) {
  if (error instanceof OutcomeUnknown) console.log(`Check the device before you try again: ${error.detail}`);
  else if (error instanceof CommandError && error.code === 'user_not_found') console.log('Add the user first.');
  else if (error instanceof CommandError) console.log(`Failed: ${error.detail}`);
  else if (error instanceof CommandNotEnded) console.log("The command hasn't ended yet. The device may be offline.");
  else throw error;
}
