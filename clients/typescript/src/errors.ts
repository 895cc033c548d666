import type { FieldError } from './types.js';

/** An error that the relay answered with. Check `code`, which is stable. The texts can change. */
export class RelayError extends Error {
  override name = 'RelayError';
  /** Names the kind of error, such as `not_found` or `invalid`. */
  readonly code: string;
  /** What is wrong, and what to do about it. */
  readonly detail: string;
  /** The faults in the request, each with `message` and `pointer`, `parameter` or `header`. */
  readonly errors: readonly FieldError[];
  /** The request's ID, which is also in the relay's log. */
  readonly requestId: string | null;

  /**
   * @param status The HTTP status.
   * @param problem The whole answer.
   * @param retryAfter Seconds after which the request can be sent again, or null.
   */
  constructor(
    readonly status: number,
    readonly problem: Readonly<Record<string, unknown>>,
    readonly retryAfter: number | null = null,
  ) {
    const code = typeof problem['code'] === 'string' ? problem['code'] : '';
    const detail = String(problem['detail'] ?? problem['title'] ?? `HTTP ${status}`);
    const errors = (Array.isArray(problem['errors']) ? problem['errors'] : []) as FieldError[];
    super(`${status} ${code}: ${detail}`);
    this.code = code;
    this.detail = detail;
    this.errors = errors;
    this.requestId = typeof problem['request_id'] === 'string' ? problem['request_id'] : null;
  }
}

/** A command failed or was cancelled. `code` says why, such as `user_not_found`. */
export class CommandError extends RelayError {
  override name = 'CommandError';

  /** The command's ID. */
  get commandId(): string {
    return String(this.problem['command_id']);
  }
}

/** A command may have been carried out. Check the device before you send it again. */
export class OutcomeUnknown extends CommandError {
  override name = 'OutcomeUnknown';
}

/** A command hasn't ended yet, for example because its device is offline. It can still be carried out. */
export class CommandNotEnded extends Error {
  override name = 'CommandNotEnded';

  constructor(
    readonly commandId: string,
    readonly status: string,
  ) {
    super(`The command ${commandId} hasn't ended yet. Its status is ${status}.`);
  }
}

export function errorOf(status: number, problem: Record<string, unknown>, retryAfter: number | null = null): RelayError {
  if (problem['command_id']) {
    const unknown = problem['code'] === 'outcome_unknown' || problem['command_status'] === 'unknown';
    return new (unknown ? OutcomeUnknown : CommandError)(status, problem, retryAfter);
  }
  return new RelayError(status, problem, retryAfter);
}
