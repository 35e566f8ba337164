import { type ErrorCode, PamError, type RefusedClass } from '@sallyport/protocol';
import type { DialResult } from '@sallyport/stream';
import { type DialDeps, type DialTarget, dialTarget } from '../agent/index.ts';

const classes: Partial<Record<ErrorCode, RefusedClass>> = {
  PAM_TARGET_REFUSED: 'refused',
  PAM_TARGET_NAME_UNKNOWN: 'name',
  PAM_TARGET_NOT_ALLOWED: 'denied',
  PAM_TARGET_UNREACHABLE: 'unreachable',
  PAM_TARGET_TIMEOUT: 'timeout',
};

/** Dials the target of one stream; what went wrong becomes the class that tells the client whether to try elsewhere. */
export async function dialForStream(target: DialTarget, deps: DialDeps, signal: AbortSignal): Promise<DialResult> {
  try {
    const { socket } = await dialTarget(target, deps, signal);
    return { kind: 'connected', socket };
  } catch (reason) {
    const error = PamError.from(reason, 'PAM_INTERNAL', 'the dial failed');
    return { kind: 'refused', class: classes[error.code] ?? 'busy', error };
  }
}
