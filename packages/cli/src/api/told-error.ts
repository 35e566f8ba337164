import { isErrorCode, PamError, type wireErrorSchema } from '@sallyport/protocol';
import type { z } from 'zod';

/** An error as the router told it; PAM_INTERNAL for a code that only a newer version knows. */
export function toldError({ code, message, remedy, detail }: z.output<typeof wireErrorSchema>): PamError {
  if (isErrorCode(code)) return new PamError(code, message, { remedy, detail });
  return new PamError('PAM_INTERNAL', `${message} (${code}, unknown to this version of pam)`, { remedy, detail });
}
