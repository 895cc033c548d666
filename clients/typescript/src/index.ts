/** Client for cams-relay: attendance events, commands and webhook signatures. */
export { Relay } from './client.js';
export type { EventFilters, FollowOptions, Filters, RelayOptions, RequestOptions, RunOptions } from './client.js';
export { CommandError, CommandNotEnded, OutcomeUnknown, RelayError } from './errors.js';
export { InvalidSignature, verify } from './webhooks.js';
export type * from './types.js';
