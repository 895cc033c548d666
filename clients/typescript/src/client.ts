import { webCrypto } from './crypto.js';
import { CommandNotEnded, errorOf } from './errors.js';
import type {
  CommandWithResult,
  Device,
  Event,
  Subscription,
  NewSubscription,
  User,
  UserEverywhere,
} from './types.js';

const ENDED = new Set(['completed', 'failed', 'unknown', 'cancelled']);
const LONGEST_WAIT = 60;
const RETRIES = 3;

/** Settings of a client. */
export interface RelayOptions {
  /** The relay's URL, such as `http://127.0.0.1:8000`. */
  url: string;
  /** An API key with the scopes you need. */
  apiKey: string;
  /** Seconds to wait for an answer: 30 by default. */
  timeout?: number;
}

/** Query parameters. Those that are undefined are left out. */
export type Filters = Readonly<Record<string, string | number | boolean | undefined>>;

/** Which events are returned. Several types, devices or users are separated by commas. */
export type EventFilters = Partial<Record<'type' | 'device_id' | 'user_id', string>>;

/** Times (ISO 8601): of receipt, which can be later than the punch itself, and of the events themselves. */
export type EventTimes = Partial<Record<'since' | 'until' | 'occurred_since' | 'occurred_until', string>>;

/** The order of events. `after` is the ID of an event, and selects those after it, oldest first. */
export interface EventOrder {
  after?: string;
  oldestFirst?: boolean;
}

/** Which events are followed, and where to start. */
export interface FollowOptions extends EventFilters {
  /** The ID of the last event you have processed. */
  after?: string;
  /** A time of receipt (ISO 8601) to start at instead. */
  since?: string;
  /** Ends the iteration when it is aborted. */
  signal?: AbortSignal;
}

/** What is sent with a request. */
export interface RequestOptions {
  query?: Filters;
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
}

/** How a command is sent. */
export interface RunOptions {
  /** Seconds to wait for the end of the command: 60 by default. */
  waitSeconds?: number;
  /** Your own key, to repeat the command safely after a crash of your program. */
  idempotencyKey?: string;
}

const sleep = (seconds: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    signal?.addEventListener('abort', done);
  });

/**
 * A relay's API.
 *
 * If the relay says that it didn't carry out a request (`Retry-After`), the request is retried up to three times. A GET
 * or a POST is also retried if the connection fails. Every POST has an `Idempotency-Key`, so nothing is done twice. All
 * methods throw a `RelayError` for an error in the answer, and what `fetch` throws if there was none.
 */
export class Relay {
  readonly #url: string;
  readonly #key: string;
  readonly #timeout: number;

  constructor({ url, apiKey, timeout = 30 }: RelayOptions) {
    this.#url = url.replace(/\/+$/, '');
    this.#key = apiKey;
    this.#timeout = timeout;
  }

  /** Send a request to any endpoint, such as `/v1/employees`, and return the JSON of the answer, or null. */
  async request<T = unknown>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const headers: Record<string, string> = {
      'X-API-Key': this.#key,
      Accept: 'application/json',
      ...(options.body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(method === 'POST' ? { 'Idempotency-Key': (await webCrypto()).randomUUID() } : {}),
      ...options.headers,
    };
    const body = options.body === undefined ? null : JSON.stringify(options.body);
    for (let tries = 0; ; tries++) {
      let answer: Response;
      let text: string;
      try {
        answer = await fetch(this.#url + path + queryOf(options.query), {
          method,
          headers,
          body,
          redirect: 'manual',
          signal: AbortSignal.timeout(this.#timeout * 1000),
        });
        text = await answer.text();
      } catch (error) {
        if (tries >= RETRIES || (method !== 'GET' && method !== 'POST')) throw error;
        await sleep(2 ** tries / 2);
        continue;
      }
      if (answer.ok) return (text ? JSON.parse(text) : null) as T;
      const pause = retryAfter(answer);
      if (tries >= RETRIES || pause === null || pause > LONGEST_WAIT) {
        throw errorOf(answer.status, problemOf(text), pause);
      }
      await sleep(pause);
    }
  }

  /** Yield all rows of a list, such as `/v1/devices`, page by page. */
  async *pages<T = unknown>(path: string, filters: Filters = {}): AsyncGenerator<T, void, undefined> {
    let cursor: string | null = null;
    do {
      const query: Filters = { limit: 200, ...filters, ...(cursor === null ? {} : { cursor }) };
      const page: { data: T[]; next_cursor: string | null } = await this.request('GET', path, { query });
      yield* page.data;
      cursor = page.next_cursor;
    } while (cursor !== null);
  }

  /**
   * Yield stored events, newest first, or with `oldestFirst` or `after`, the oldest first. `since` and `until` are times
   * of receipt (ISO 8601), which can be later than the punch itself. A program that runs now and then gets each event
   * once if it stores the ID of the last one, and passes it as `after`.
   */
  events(filters: EventFilters & EventTimes & EventOrder = {}): AsyncGenerator<Event, void, undefined> {
    const { oldestFirst, ...wanted } = filters;
    const order = oldestFirst || filters.after !== undefined ? { order: 'asc' } : {};
    return this.pages<Event>('/v1/events', { ...wanted, ...order });
  }

  /** Return an event. */
  event(id: string): Promise<Event> {
    return this.request('GET', `/v1/events/${encodeURIComponent(id)}`);
  }

  /**
   * Yield events as they arrive, oldest first, without end.
   *
   * Store the ID of the last event you have processed, and pass it as `after`, so that you miss nothing after a restart.
   * If the connection is lost, it is made again and continues after the last event. Without `after` and `since`, it
   * starts now.
   */
  async *follow({ after, since, signal, ...filters }: FollowOptions = {}): AsyncGenerator<Event, void, undefined> {
    let last = after;
    if (last === undefined && since === undefined) {
      // A connection that is lost before the first event must not lose events either.
      const newest = await this.request<{ data: Event[] }>('GET', '/v1/events', { query: { limit: 1 } });
      last = newest.data[0]?.id;
    }
    for (let failures = 0; !signal?.aborted; ) {
      const ending = new AbortController();
      const end = (): void => ending.abort();
      signal?.addEventListener('abort', end);
      try {
        const query = { ...filters, ...(last === undefined && since !== undefined ? { since } : {}) };
        const answer = await fetch(`${this.#url}/v1/events/stream${queryOf(query)}`, {
          headers: {
            'X-API-Key': this.#key,
            Accept: 'text/event-stream',
            ...(last === undefined ? {} : { 'Last-Event-ID': last }),
          },
          redirect: 'manual',
          signal: ending.signal,
        });
        if (!answer.ok || !answer.body) {
          throw errorOf(answer.status, problemOf(await answer.text()), retryAfter(answer));
        }
        for await (const event of eventsOf(answer.body, end)) {
          last = event.id;
          failures = 0;
          yield event;
        }
      } catch (error) {
        if (signal?.aborted) return;
        const lost = error instanceof TypeError || (error instanceof Error && error.name === 'AbortError');
        if (!lost || ++failures > RETRIES) throw error;
      } finally {
        ending.abort();
        signal?.removeEventListener('abort', end);
      }
      await sleep(2 ** failures / 2, signal);
    }
  }

  /** Yield all devices. */
  devices(): AsyncGenerator<Device, void, undefined> {
    return this.pages<Device>('/v1/devices');
  }

  /** Yield users, of one device or of all. */
  users(filters: { device_id?: string } = {}): AsyncGenerator<User, void, undefined> {
    return this.pages<User>('/v1/users', filters);
  }

  /** Return a user's profile on each device. */
  user(id: string, query: { device_id?: string } = {}): Promise<UserEverywhere> {
    return this.request('GET', `/v1/users/${encodeURIComponent(id)}`, { query });
  }

  /** Yield all subscriptions. */
  subscriptions(): AsyncGenerator<Subscription, void, undefined> {
    return this.pages<Subscription>('/v1/subscriptions');
  }

  /** Send events to a URL, and return the subscription. Store its `secret`, which is null if it already existed. */
  subscribe(
    targetUrl: string,
    eventTypes: readonly string[],
    fields: Readonly<Record<string, unknown>> = {},
  ): Promise<NewSubscription> {
    return this.request('POST', '/v1/subscriptions', {
      body: { target_url: targetUrl, event_types: eventTypes, ...fields },
    });
  }

  /** Delete a subscription. */
  async unsubscribe(id: string): Promise<void> {
    await this.request('DELETE', `/v1/subscriptions/${encodeURIComponent(id)}`);
  }

  /** The relay's public keys (`whpk_…`), which `verify` accepts. Read them again if they don't verify. */
  async signingKeys(): Promise<string[]> {
    const { keys } = await this.request<{ keys: { public_key: string }[] }>('GET', '/.well-known/jwks.json');
    return keys.map((key) => key.public_key);
  }

  /**
   * Send a command, such as `add-user`, to a device, wait until it has ended, and return it.
   *
   * @throws CommandError if the command failed or was cancelled, OutcomeUnknown if the device may have carried it out, and
   * CommandNotEnded if it hasn't ended in time, for example because the device is offline.
   */
  async run(
    action: string,
    deviceId: string,
    fields: Readonly<Record<string, unknown>> = {},
    { waitSeconds = 60, idempotencyKey }: RunOptions = {},
  ): Promise<CommandWithResult> {
    const began = Date.now();
    const longest = Math.min(20, waitSeconds, this.#timeout - 5);
    const sent = await this.request<{ id: string }>('POST', `/v1/actions/${encodeURIComponent(action)}`, {
      body: { device_id: deviceId, ...fields },
      headers: {
        Prefer: longest >= 1 ? `wait=${Math.floor(longest)}` : 'respond-async',
        ...(idempotencyKey === undefined ? {} : { 'Idempotency-Key': idempotencyKey }),
      },
    });
    return this.waitForCommand(sent.id, waitSeconds - (Date.now() - began) / 1000);
  }

  /** Return a command. */
  command(id: string): Promise<CommandWithResult> {
    return this.request('GET', `/v1/commands/${encodeURIComponent(id)}`);
  }

  /** Wait until a command has ended, and return it. Throws the same errors as `run`. */
  async waitForCommand(id: string, waitSeconds = 60): Promise<CommandWithResult> {
    const deadline = Date.now() + waitSeconds * 1000;
    for (let pause = 0.2; ; pause = Math.min(pause * 2, 5)) {
      const command = await this.command(id);
      if (command.status === 'completed') return command;
      if (ENDED.has(command.status)) throw errorOf(422, endedBadly(command));
      if (Date.now() + pause * 1000 > deadline) throw new CommandNotEnded(id, command.status);
      await sleep(pause);
    }
  }

  /** Cancel a command that is queued or waits for its device, and return it. */
  cancelCommand(id: string): Promise<CommandWithResult> {
    return this.request('POST', `/v1/commands/${encodeURIComponent(id)}/cancel`);
  }
}

/** Yield the events of a stream. If nothing, not even a comment, arrives for 90 seconds, `end` is called. */
async function* eventsOf(body: ReadableStream<Uint8Array>, end: () => void): AsyncGenerator<Event, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let buffer = '';
  let data: string[] = [];
  for (;;) {
    const timer = setTimeout(end, 90_000);
    const { done, value } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    buffer += decoder.decode(value, { stream: true });
    const lines = buffer.split('\n');
    buffer = lines.pop() ?? '';
    for (const line of lines.map((text) => text.replace(/\r$/, ''))) {
      if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
      else if (line === '' && data.length) {
        const found: unknown = JSON.parse(data.join('\n'));
        data = [];
        if (typeof found === 'object' && found !== null && 'id' in found) yield found as Event;
      }
    }
  }
}

function queryOf(filters: Filters = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filters)) {
    if (value !== undefined) query.set(name, String(value));
  }
  return query.size ? `?${query}` : '';
}

function retryAfter(answer: Response): number | null {
  const value = answer.headers.get('Retry-After');
  return value !== null && /^\d+$/.test(value) ? Number(value) : null;
}

function problemOf(text: string): Record<string, unknown> {
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === 'object' && found !== null ? (found as Record<string, unknown>) : {};
  } catch {
    return { detail: text.slice(0, 200) };
  }
}

/** Return the problem of a command that didn't complete, with the same code as in the answer of an action. */
function endedBadly(command: CommandWithResult): Record<string, unknown> {
  return {
    ...command,
    detail: command.message ?? `The command is ${command.status}.`,
    command_id: command.id,
    command_status: command.status,
  };
}
