import { newWatch, resumeTimes, type StreamState, type StreamStep, type Watch } from './flow-state.ts';

/** Whether the carrier still carries: asked by PING when it matters, judged only while this process ran. */

/** Finer than this the time of the last frame is not kept: a bulk stream hears thousands a second. */
const hearingMs = 100;
const pingToken = new Uint8Array(8);

/** Something came over the carrier. */
export function heard(watch: Watch, nowMs: number): Watch {
  if (!watch.pingOut && nowMs - watch.heardAtMs < hearingMs) return watch;
  return { ...watch, heardAtMs: nowMs, pingOut: false };
}

/** Payload went either way: an idle carrier is asked sooner again. */
export function busy(watch: Watch): Watch {
  return watch.idleGapMs === resumeTimes.idleGapMs ? watch : { ...watch, idleGapMs: resumeTimes.idleGapMs };
}

/** Keeps count of since when something is out. */
export function countOut(state: StreamState, nowMs: number): StreamState {
  const { watch } = state;
  const isOut = watch.pingOut || state.sent > state.acked;
  if (isOut === (watch.outSinceMs !== null)) return state;
  return { ...state, watch: { ...watch, outSinceMs: isOut ? nowMs : null } };
}

/** When the carrier has to be looked at; null while a stream cannot be resumed, or an instance has nothing out. */
export function watchDueAtMs(state: StreamState): number | null {
  if (state.detachMs === 0) return null;
  const { heardAtMs, outSinceMs, pingOut, idleGapMs } = state.watch;
  if (outSinceMs === null) return state.side === 'client' ? heardAtMs + idleGapMs : null;
  return Math.max(heardAtMs, outSinceMs) + (pingOut ? resumeTimes.silentMs : resumeTimes.pingAfterMs);
}

/** This process did not run: what it did not hear meanwhile says nothing about the carrier. */
export function afterPause(watch: Watch, nowMs: number): Watch {
  return { ...newWatch(nowMs), pingOut: watch.pingOut, outSinceMs: watch.outSinceMs };
}

export type Judgement = 'fine' | 'ask' | 'lost';

export function judgeCarrier(state: StreamState, nowMs: number): Judgement {
  const dueAtMs = watchDueAtMs(state);
  if (dueAtMs === null || nowMs < dueAtMs) return 'fine';
  return state.watch.pingOut ? 'lost' : 'ask';
}

/** Sends a PING; the answer comes at once from whoever lives, however full its hands are. */
export function ask(state: StreamState): StreamStep {
  const { watch } = state;
  const isIdle = watch.outSinceMs === null;
  const idleGapMs = isIdle ? Math.min(watch.idleGapMs * 2, resumeTimes.idleGapMostMs) : watch.idleGapMs;
  return {
    state: { ...state, watch: { ...watch, pingOut: true, idleGapMs } },
    effects: [{ kind: 'send', frame: { kind: 'ping', token: pingToken } }],
  };
}
