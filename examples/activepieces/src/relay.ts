import { PieceAuth, Property } from '@activepieces/pieces-framework';

export const relayAuth = PieceAuth.CustomAuth({
  displayName: 'Connection to a cams-relay',
  required: true,
  props: {
    relayUrl: Property.ShortText({
      displayName: 'Relay URL',
      description: 'Public URL of the relay without a path, for example https://relay.example.com',
      required: true,
    }),
    apiKey: PieceAuth.SecretText({
      displayName: 'API Key',
      description: 'A key with the scopes for what you want to do, such as events:read, subscriptions:write or actions:write',
      required: true,
    }),
  },
  validate: async ({ auth }) => {
    try {
      await call({ props: auth }, 'GET', '/v1/me');
      return { valid: true };
    } catch (error) {
      return { valid: false, error: String(error) };
    }
  },
});

export type Connection = { props: { relayUrl: string; apiKey: string } };

/** Calls the relay. If the relay refuses the request, throws an error with its message. */
export async function call<Answer>(
  { props: { relayUrl, apiKey } }: Connection,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<Answer> {
  const response = await fetch(relayUrl.replace(/\/$/, '') + path, {
    method,
    headers: { 'X-API-Key': apiKey, 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  const answer = text ? JSON.parse(text) : undefined;
  const gone = method === 'DELETE' && response.status === 404; // already deleted
  if (!response.ok && !gone) {
    throw new Error(answer?.detail ?? `The relay answered ${response.status}`);
  }
  return answer as Answer;
}
