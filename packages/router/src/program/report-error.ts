import { errorCatalog, PamError } from '@sallyport/protocol';

/** An error in one line, for people and logs. */
export function oneLine(error: unknown): string {
  const text = error instanceof PamError ? `${error.code}: ${error.message}` : `PAM_INTERNAL: ${String(error)}`;
  return text.replaceAll(/\s+/g, ' ').slice(0, 2_000);
}

/** Says on stderr what went wrong and what to do, and answers the exit code. */
export function reportError(error: unknown): number {
  const code = error instanceof PamError ? error.code : 'PAM_INTERNAL';
  const remedy = error instanceof PamError ? error.remedy : errorCatalog.PAM_INTERNAL.remedy;
  process.stderr.write(`pam-router: ${oneLine(error)}\n${remedy}\n`);
  return errorCatalog[code].exit;
}
