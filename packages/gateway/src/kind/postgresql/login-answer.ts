import type { NotOpened } from '@sallyport/rotation';
import { DatabaseError } from 'pg';
import { serverWords } from '@sallyport/kind-support';

/** How far a login got, as told by the messages of the protocol. */
export interface LoginProgress {
  /** The server asked for a password, in any way. */
  isAsked: boolean;
  /** It said that the password is right; what comes after that is about something else. */
  isAuthenticated: boolean;
}

/** Refusals after a good password that are no refusal of it: no right to this database, no such one, no room. */
const besideTheCredential = new Set(['42501', '3D000', '53300', '55000']);

/**
 * What the server's refusal of a login says about the credential.
 *
 * An account that has expired (`VALID UNTIL`) is told as a wrong password by the server, and only its log knows better.
 */
export function loginAnswer(
  error: DatabaseError,
  progress: Readonly<LoginProgress>,
): NotOpened | { readonly kind: 'opens' } {
  const message = `${error.code ?? ''} ${serverWords(error.message, [])}`.trim();
  if (error.code === '28P01') return { kind: 'refused', message: 'the server refused the password' };
  if (!progress.isAuthenticated || !progress.isAsked) return { kind: 'unknown', message };
  if (error.code === '28000') return { kind: 'locked', message: 'the role may not log in (NOLOGIN)' };
  return besideTheCredential.has(error.code ?? '') ? { kind: 'opens' } : { kind: 'unknown', message };
}

/** Of the server itself, and not of the way to it. */
export function isDatabaseError(reason: unknown): reason is DatabaseError {
  return reason instanceof DatabaseError && typeof reason.code === 'string';
}
