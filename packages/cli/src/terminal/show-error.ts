import { errorCatalog, PamError, toWireError } from '@sallyport/protocol';
import type { Format } from './show.ts';
import { plain, type Terminal } from './terminal.ts';

/** Turns whatever was thrown into an error with a code. */
export function toPamError(reason: unknown): PamError {
  if (reason instanceof PamError) return reason;
  if (reason instanceof Error && reason.name === 'AbortError') return new PamError('PAM_INTERRUPTED', 'interrupted');
  const text = reason instanceof Error ? reason.message : String(reason);
  return new PamError('PAM_INTERNAL', text, {
    cause: reason,
    remedy: 'This is a defect of pam: run it again with SALLYPORT_DEBUG=1 and report what it prints.',
  });
}

/**
 * Prints an error on standard error: two lines, or one line of JSON in json mode.
 *
 * @returns the exit code of the catalogue.
 */
export function showError(terminal: Terminal, format: Format, reason: unknown, debug = false): number {
  const error = toPamError(reason);
  if (format === 'json') terminal.err(`${JSON.stringify({ error: toWireError(error) })}\n`);
  else terminal.err(errorText(error));
  if (debug) terminal.err(`${error.stack ?? ''}\n${error.cause instanceof Error ? (error.cause.stack ?? '') : ''}\n`);
  return errorCatalog[error.code].exit;
}

/** `error: …` and `  remedy: … (CODE)`. */
export function errorText(error: PamError): string {
  return `error: ${plain(error.message)}\n  remedy: ${plain(error.remedy)} (${error.code})\n`;
}
