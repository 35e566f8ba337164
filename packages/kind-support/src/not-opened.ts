import { PamError } from '@sallyport/protocol';
import type { NotOpened, Secret } from '@sallyport/rotation';
import { serverWords } from './server-words.ts';

/**
 * How a login reads that an error ended. Before anything made of the credential went out the server is `unreachable`, unless
 * it is another one than it should be; later nobody knows what it counted.
 *
 * @param isShown - something made of the credential may have gone out.
 */
export function notOpened(reason: unknown, isShown: boolean, secrets: readonly Secret[]): NotOpened {
  const message = reason instanceof PamError ? serverWords(reason.message, secrets) : 'it was given up';
  const isAnother = reason instanceof PamError && reason.code === 'PAM_TARGET_IDENTITY';
  return { kind: isShown || isAnother ? 'unknown' : 'unreachable', message };
}
