import type { EndReason } from '@sallyport/protocol';
import { close, closeCleanly, closeIfDone, resetFrame, violated } from './end-stream.ts';
import {
  newWatch,
  resumeTimes,
  type StreamEffect,
  type StreamEvent,
  type StreamState,
  type StreamStep,
} from './flow-state.ts';

/**
 * A stream between two carriers. In one turn the old carrier is destroyed, then the offsets are read: nothing of it can
 * be delivered after they were told to the other end (S5).
 *
 * @see docs/protocol.md "Resume"
 */

/** Nothing is left for the local end to send or to see. */
const isLocallyDone = (state: StreamState): boolean => state.localEnded && state.localFinished;

/** And every byte of it was confirmed: only the acknowledgement of a FIN is missing. */
const isAllConfirmed = (state: StreamState): boolean =>
  isLocallyDone(state) && state.finSent && state.acked === state.sent;

/**
 * The carrier is gone: the stream waits for another, or ends where it cannot be resumed. Bytes that the other end has
 * not confirmed are waited for as long as any, though nobody is left here: a target that had answered and closed would
 * otherwise be cut off by a blip of 5 s (`npm run chaos`, seed 7).
 */
export function loseCarrier(state: StreamState, nowMs: number): StreamStep {
  const { attachment } = state;
  if (attachment.kind === 'detached') return { state, effects: [] };
  if (state.detachMs === 0) {
    return close(state, [], 'carrier-lost', {
      code: 'PAM_STREAM_LOST',
      message: 'the way to the other end was lost before the stream ended',
    });
  }
  const { gen } = attachment;
  const limitAtMs = nowMs + (isAllConfirmed(state) ? resumeTimes.tellingMs : state.detachMs);
  return {
    state: { ...state, attachment: { kind: 'detached', gen, sinceMs: nowMs, limitAtMs }, ackDueAtMs: null },
    effects: [{ kind: 'drop-carrier' }, { kind: 'detached', received: state.received, gen, limitAtMs }],
  };
}

/** A carrier is offered: RESUME at an instance, RESUMED at a client. Only a greater generation is taken. */
export function offerCarrier(
  state: StreamState,
  offer: Extract<StreamEvent, { kind: 'resume' | 'resumed' }>,
  nowMs: number,
): StreamStep {
  const isClient = offer.kind === 'resumed';
  if (state.closed) return { state, effects: [isClient ? unwanted : goneFrame(state)] };
  // A client that took another meanwhile says nothing on this one: a word would end the stream, and what it said it
  // had received is out of date. Both ends lose their carriers and begin again.
  const isStale = isClient && (state.attachment.kind === 'attached' || offer.told !== state.received);
  if (isStale) return { state, effects: [unwanted] };
  if (offer.gen <= state.attachment.gen) return { state, effects: [isClient ? unwanted : refusal('forget')] };
  // Less than it once had: a dial of an earlier time that was overtaken. It cannot be served, and ends nothing.
  if (offer.received < state.peerHas) return { state, effects: [isClient ? unwanted : refusal('forget')] };
  if (offer.received > state.sent) {
    const ended = violated(state, 'it says it has bytes that were never sent');
    return { state: ended.state, effects: [refusal('protocol'), ...ended.effects] };
  }
  return takeCarrier(state, offer, nowMs);
}

function takeCarrier(
  before: StreamState,
  { kind, gen, received }: { readonly kind: 'resume' | 'resumed'; readonly gen: number; readonly received: number },
  nowMs: number,
): StreamStep {
  const state: StreamState = {
    ...before,
    attachment: { kind: 'attached', gen },
    watch: newWatch(nowMs),
    peerHas: received,
    lastAck: before.delivered,
    ackDueAtMs: null,
    finSeen: false,
  };
  const effects: StreamEffect[] = before.attachment.kind === 'attached' ? [{ kind: 'drop-carrier' }] : [];
  effects.push({ kind: 'take-carrier' }, { kind: 'attached', gen });
  if (kind === 'resume') effects.push({ kind: 'send', frame: { kind: 'resumed', received: state.received } });
  const offset = state.delivered + Number(state.localFinished);
  if (offset > 0) effects.push({ kind: 'send', frame: { kind: 'ack', offset } });
  if (received < state.sent) effects.push({ kind: 'replay', from: received });
  if (state.owed !== null) {
    const { code, reason } = state.owed;
    return close(state, [...effects, resetFrame(code, reason)], reason, null);
  }
  if (state.finSent) effects.push({ kind: 'send', frame: { kind: 'fin', length: state.sent } });
  return closeIfDone(state, effects);
}

const unwanted: StreamEffect = { kind: 'refuse-carrier', frame: null };
const refusal = (code: 'forget' | 'protocol'): StreamEffect => ({
  kind: 'refuse-carrier',
  frame: { kind: 'reset', code, text: code === 'forget' ? 'another carrier is in use' : 'bytes that were never sent' },
});

function goneFrame(state: StreamState): StreamEffect {
  const { code, final } = state.end ?? { code: 'ended', final: false };
  return { kind: 'refuse-carrier', frame: { kind: 'gone', code, received: state.received, final } };
}

/**
 * The instance has ended the stream. `final` says that it ended cleanly, and so that this end had confirmed every byte
 * and its FIN: only the last word was lost.
 */
export function learnGone(state: StreamState, gone: Extract<StreamEvent, { kind: 'gone' }>): StreamStep {
  if (state.attachment.kind === 'attached') return { state, effects: [] };
  if (gone.final && gone.received === state.sent && state.finSent && state.localFinished) {
    return closeCleanly(state, []);
  }
  const reason = gone.code === 'unknown' ? 'instance-lost' : gone.code === 'ended' ? 'carrier-lost' : gone.code;
  const words = gone.code === 'ended' ? 'the instance ended the stream' : 'the instance gave the stream up';
  return giveUp(state, reason, `${words} while the way to it was lost`);
}

export function abandon(state: StreamState, event: Extract<StreamEvent, { kind: 'abandoned' }>): StreamStep {
  if (state.attachment.kind === 'attached') return { state, effects: [] };
  const reason = event.fault.code === 'PAM_STREAM_GONE' ? 'instance-lost' : 'carrier-lost';
  return close(state, [], state.owed?.reason ?? reason, state.owed === null ? event.fault : null);
}

/**
 * Time is up. When the local end had said and seen everything there is nothing to reset, and where every byte was
 * confirmed only the acknowledgement of a FIN is missing.
 */
export function endDetached(state: StreamState): StreamStep {
  if (isAllConfirmed(state)) return closeCleanly(state, []);
  const seconds = Math.round(state.detachMs / 1_000);
  return giveUp(state, 'detached-timeout', `the way to the other end was lost and not found again within ${seconds} s`);
}

function giveUp(state: StreamState, reason: EndReason, message: string): StreamStep {
  const code = reason === 'detached-timeout' ? 'detached-timeout' : 'ended';
  if (state.owed !== null) return close(state, [], state.owed.reason, null, code);
  const ended = close(state, [], reason, { code: 'PAM_STREAM_LOST', message }, code);
  if (!isLocallyDone(state)) return ended;
  return { state: ended.state, effects: ended.effects.filter(({ kind }) => kind !== 'reset-local') };
}

/** The local socket broke with nobody to tell: kept for the next carrier; a client looks a little longer to tell it. */
export function owe(state: StreamState, nowMs: number): StreamStep {
  if (state.owed !== null || state.attachment.kind === 'attached') return { state, effects: [] };
  const isClient = state.side === 'client';
  const limitAtMs = isClient
    ? Math.min(state.attachment.limitAtMs, nowMs + resumeTimes.tellingMs)
    : state.attachment.limitAtMs;
  const owed = { code: 'broken', reason: isClient ? 'client-reset' : 'target-reset' } as const;
  const attachment = { ...state.attachment, limitAtMs };
  return {
    state: { ...state, attachment, owed, localPaused: true, pending: null },
    effects: [{ kind: 'reset-local' }],
  };
}
