import { type ErrorCode, PamError } from '@sallyport/protocol';

/**
 * Builds the error of a refusal. `why` is a short stable slug in `detail.why` that tells apart refusals which share a
 * code; tests, logs and scripts read it, users read the message.
 */
export function refusal(code: ErrorCode, why: string, message: string, cause?: unknown): PamError {
  return new PamError(code, message, { detail: { why }, ...(cause === undefined ? {} : { cause }) });
}
