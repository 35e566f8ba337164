import type { EndReason } from '@sallyport/protocol';
import type { GoneCode, ResetCode } from '../frame/frame.ts';
import type { StreamEffect, StreamFault, StreamState, StreamStep } from './flow-state.ts';

/** How streams end: cleanly by both FINs, or by a reset of the local end. */

/** Done when both directions ended, all was delivered here, and the other end said so of its side, its FIN included. */
export function closeIfDone(state: StreamState, effects: readonly StreamEffect[]): StreamStep {
  if (!state.finAcked || !state.localFinished) return { state, effects };
  return closeCleanly(state, effects);
}

export function closeCleanly(state: StreamState, effects: readonly StreamEffect[]): StreamStep {
  const reason = state.firstEnd === 'client' ? 'client-closed' : 'target-closed';
  const end = { code: 'ended', final: true } as const;
  return { state: { ...state, closed: true, end }, effects: [...effects, { kind: 'closed', reason, error: null }] };
}

/** The other end broke the rules: both sides are reset. */
export function violated(state: StreamState, what: string): StreamStep {
  return reset(state, 'protocol', 'protocol-error', {
    code: 'PAM_STREAM_PROTOCOL',
    message: `the other end broke the stream protocol: ${what}`,
  });
}

/** Tells the other end and resets the local one. */
export function reset(
  state: StreamState,
  code: ResetCode,
  reason: EndReason,
  error: StreamFault | null,
  words: string = error?.message ?? reason,
): StreamStep {
  return close(state, [resetFrame(code, words)], reason, error);
}

export function resetFrame(code: ResetCode, text: string): StreamEffect {
  return { kind: 'send', frame: { kind: 'reset', code, text } };
}

/** Resets the local end; `code` is what a late RESUME is told. */
export function close(
  state: StreamState,
  first: readonly StreamEffect[],
  reason: EndReason,
  error: StreamFault | null,
  code: GoneCode = 'ended',
): StreamStep {
  const effects: StreamEffect[] = [...first, { kind: 'reset-local' }, { kind: 'closed', reason, error }];
  return { state: { ...state, closed: true, pending: null, end: { code, final: false } }, effects };
}

/** The other end said RESET. */
export function closeByReset(state: StreamState, code: ResetCode, text: string): StreamStep {
  return close(state, [], reasonOfReset(state, code), faultOfReset(state, code, text));
}

function reasonOfReset(state: StreamState, code: ResetCode): EndReason {
  switch (code) {
    case 'broken':
      return state.side === 'client' ? 'target-reset' : 'client-reset';
    case 'protocol':
      return 'protocol-error';
    case 'forget':
      return 'stopped';
    case 'detached-timeout':
    case 'stopped':
    case 'drained':
    case 'killed':
    case 'deadline':
    case 'signed-out':
    case 'failed':
      return code;
    default:
      return code satisfies never;
  }
}

function faultOfReset(state: StreamState, code: ResetCode, text: string): StreamFault {
  if (code === 'protocol') return { code: 'PAM_STREAM_PROTOCOL', message: `the other end refused a frame: ${text}` };
  if (code === 'killed') return { code: 'PAM_SESSION_KILLED', message: `the stream was ended ${text}` };
  if (code === 'drained')
    return { code: 'PAM_SESSION_ENDED', message: 'the instance left the pool: its drain was over' };
  if (code !== 'broken') return { code: 'PAM_SESSION_ENDED', message: `the other end stopped the stream: ${code}` };
  return state.side === 'client'
    ? { code: 'PAM_TARGET_RESET', message: 'the target broke the connection' }
    : { code: 'PAM_SESSION_ENDED', message: 'the client broke the connection' };
}
