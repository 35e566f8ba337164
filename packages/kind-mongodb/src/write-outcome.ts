import type { ApplyOutcome } from '@sallyport/rotation';

/**
 * Nothing was changed, and another password would not help: bad value, not parsed, no such user, not allowed, no such
 * command, invalid option, not supported, not by this version of the API, not on Atlas, not the primary.
 */
const denied = new Set([2, 9, 11, 13, 59, 72, 115, 323, 8_000, 10_107, 13_435, 13_436]);

/**
 * What the code of a refused write says. What is not listed (time over, a primary that stepped down) may have been carried out.
 *
 * @see MongoDB, "Error codes" (`error_codes.yml`).
 */
export function writeOutcome(code: number, message: string): ApplyOutcome {
  return { kind: denied.has(code) ? 'denied' : 'unknown', message };
}
