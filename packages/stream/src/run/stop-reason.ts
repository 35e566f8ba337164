import { type EndReason, endReasonSchema } from '@sallyport/protocol';

/** Why a stream is stopped from outside; `words` are for the user to read ('' when the reason says all). */
export interface StopReason {
  readonly reason: EndReason;
  readonly words: string;
}

/** What an abort says: an EndReason, or a StopReason; anything else is `stopped`. */
export function readStop(reason: unknown): StopReason {
  if (typeof reason === 'object' && reason !== null && 'reason' in reason && 'words' in reason) {
    return { reason: readStop(reason.reason).reason, words: String(reason.words).slice(0, 256) };
  }
  const parsed = endReasonSchema.safeParse(reason);
  return { reason: parsed.success ? parsed.data : 'stopped', words: '' };
}
