import { PamError } from '@sallyport/protocol';

/** Primary result codes of SQLite (sqlite.org/rescode.html) that mean the file, not the statement. */
const fileFaults = new Set([5, 6, 8, 10, 11, 13, 14, 26]);
const damaged = new Set([11, 26]);
const constraint = 19;

function errcodeOf(reason: unknown): number | null {
  const code: unknown = reason instanceof Error ? Reflect.get(reason, 'errcode') : undefined;
  return typeof code === 'number' ? code & 0xff : null;
}

/** Busy, locked, read only, I/O, corrupt, full, cannot open, not a database. */
export function isSqliteFault(reason: unknown): boolean {
  const code = errcodeOf(reason instanceof PamError ? reason.cause : reason);
  return code !== null && fileFaults.has(code);
}

/** Turns what node:sqlite threw into an error of the catalogue; a PamError stays as it is. */
export function fromSqlite(reason: unknown): PamError {
  if (reason instanceof PamError) return reason;
  const code = errcodeOf(reason);
  if (code === constraint) return new PamError('PAM_CONFLICT', 'a row with this key exists', { cause: reason });
  if (code !== null && damaged.has(code)) {
    return new PamError('PAM_STORE_DAMAGED', 'the store file is damaged or not a store', { cause: reason });
  }
  if (code !== null && fileFaults.has(code)) {
    return new PamError('PAM_STORE_AWAY', 'the store file cannot be read or written', { cause: reason });
  }
  return new PamError('PAM_INTERNAL', 'the store failed in a way nobody expected', { cause: reason });
}

/** SQLSTATE of an error that the server sent; null when the connection failed. */
export function sqlStateOf(reason: unknown): string | null {
  const code: unknown = reason instanceof Error ? Reflect.get(reason, 'code') : undefined;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : null;
}

/** Serialisation failure and deadlock: the transaction did nothing and may be run again. */
export function isRetryable(state: string | null): boolean {
  return state === '40001' || state === '40P01';
}

/** The connection failed, or the server is going down: the outcome is not known. */
export function isDisconnect(state: string | null): boolean {
  return state === null || state.startsWith('08') || state.startsWith('57P');
}

/** Turns what `pg` threw into an error of the catalogue. */
export function fromPostgres(reason: unknown): PamError {
  if (reason instanceof PamError) return reason;
  const state = sqlStateOf(reason);
  if (state?.startsWith('23') === true) {
    return new PamError('PAM_CONFLICT', 'a row with this key exists', { cause: reason });
  }
  if (isDisconnect(state) || state?.startsWith('53') === true || isRetryable(state)) {
    return new PamError('PAM_STORE_AWAY', 'the database does not answer', { cause: reason });
  }
  if (state?.startsWith('28') === true || state === '3D000' || state === '42501') {
    return new PamError('PAM_CONFIG_INVALID', 'the database refuses this user or does not exist', { cause: reason });
  }
  return new PamError('PAM_INTERNAL', 'the store failed in a way nobody expected', { cause: reason });
}
