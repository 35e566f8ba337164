import { type EndReason, PamError } from '@sallyport/protocol';

/** What the owner of an ended session is told; `words` say who killed it and why. */
export function endError(reason: EndReason | null, words: string): PamError {
  if (reason !== 'killed') return new PamError('PAM_SESSION_ENDED', `the session has ended: ${reason ?? 'unknown'}`);
  return new PamError('PAM_SESSION_KILLED', `the session was ended ${words}`);
}
