import { streamWindow } from '@sallyport/protocol';
import { type Frame, frameLimits } from '../frame/frame.ts';
import { afterPause, ask, busy, countOut, heard, judgeCarrier, watchDueAtMs } from './carrier-watch.ts';
import { abandon, endDetached, learnGone, loseCarrier, offerCarrier, owe } from './change-carrier.ts';
import { closeByReset, closeIfDone, reset, violated } from './end-stream.ts';
import {
  ackWithinMs,
  resumeTimes,
  type StreamEffect,
  type StreamEvent,
  type StreamState,
  type StreamStep,
} from './flow-state.ts';

const none: readonly StreamEffect[] = [];

/**
 * Decides what one end of an opened stream does next. Pure and synchronous; after the end only RESUME is answered.
 *
 * @param nowMs - monotonic milliseconds.
 * @see docs/protocol.md "Credit", "Ends", "Resume"
 */
export function stepStream(state: StreamState, event: StreamEvent, nowMs: number): StreamStep {
  if (state.closed) {
    const isOffer = event.kind === 'resume' || event.kind === 'resumed';
    return isOffer ? offerCarrier(state, event, nowMs) : { state, effects: none };
  }
  const step = withoutCarrier(state, decide(state, event, nowMs));
  return arm(watched(step.state, event, nowMs), step.effects);
}

function decide(state: StreamState, event: StreamEvent, nowMs: number): StreamStep {
  switch (event.kind) {
    case 'local-data':
      return send(state, event.bytes);
    case 'local-ended':
      return endSending({ ...state, localEnded: true, firstEnd: state.firstEnd ?? state.side });
    case 'local-took':
      return acknowledge(state, event.total, nowMs);
    case 'frame':
      return receive(state, event.frame, nowMs);
    case 'tick':
      return tick(state, nowMs);
    case 'local-broken':
      if (state.localEnded && state.localFinished) return { state, effects: none };
      if (state.attachment.kind === 'detached') return owe(state, nowMs);
      return reset(state, 'broken', state.side === 'client' ? 'client-reset' : 'target-reset', null);
    case 'carrier-garbled':
      return violated(state, event.error);
    case 'carrier-lost':
      return loseCarrier(state, nowMs);
    case 'resume':
    case 'resumed':
      return offerCarrier(state, event, nowMs);
    case 'gone':
      return learnGone(state, event);
    case 'abandoned':
      return abandon(state, event);
    case 'stop':
      return reset(state, event.code, event.reason, null, event.words);
    default:
      return event satisfies never;
  }
}

/** With no carrier nothing is sent: bytes are kept, and the next carrier is told all the rest. */
function withoutCarrier(before: StreamState, { state, effects }: StreamStep): StreamStep {
  if (before.attachment.kind === 'attached' || state.attachment.kind === 'attached') return { state, effects };
  const kept = effects.flatMap((effect): StreamEffect[] => {
    if (effect.kind === 'send') return [];
    return effect.kind === 'send-data' ? [{ kind: 'keep-data', bytes: effect.bytes }] : [effect];
  });
  return { state, effects: kept };
}

function watched(state: StreamState, event: StreamEvent, nowMs: number): StreamState {
  if (state.detachMs === 0 || state.attachment.kind === 'detached' || state.closed) return state;
  let { watch } = state;
  if (event.kind === 'frame') watch = heard(watch, nowMs);
  if (event.kind === 'local-data' || (event.kind === 'frame' && event.frame.kind === 'data')) watch = busy(watch);
  return countOut(watch === state.watch ? state : { ...state, watch }, nowMs);
}

/** Asks for a `tick` when one is due earlier than the one that was asked for. */
function arm(state: StreamState, effects: readonly StreamEffect[]): StreamStep {
  if (state.closed) return { state, effects };
  const never = Number.POSITIVE_INFINITY;
  const { attachment } = state;
  const atMs =
    attachment.kind === 'detached'
      ? attachment.limitAtMs
      : Math.min(watchDueAtMs(state) ?? never, state.ackDueAtMs ?? never);
  if (atMs >= (state.wakeAtMs ?? never)) return { state, effects };
  return { state: { ...state, wakeAtMs: atMs }, effects: [...effects, { kind: 'wake', atMs }] };
}

function tick(before: StreamState, nowMs: number): StreamStep {
  const isLate = before.wakeAtMs !== null && nowMs - before.wakeAtMs >= resumeTimes.pauseMs;
  const state = { ...before, wakeAtMs: null, watch: isLate ? afterPause(before.watch, nowMs) : before.watch };
  if (state.attachment.kind === 'detached') {
    return nowMs >= state.attachment.limitAtMs ? endDetached(state) : { state, effects: none };
  }
  const judgement = judgeCarrier(state, nowMs);
  if (judgement === 'lost') return loseCarrier(state, nowMs);
  const asked = judgement === 'ask' ? ask(state) : { state, effects: none };
  if (state.ackDueAtMs === null || nowMs < state.ackDueAtMs) return asked;
  const acked = sendAck(asked.state);
  return { state: acked.state, effects: [...asked.effects, ...acked.effects] };
}

/** Bytes that may be sent now. */
export function creditOf(state: StreamState): number {
  return state.acked + state.peerWindow - state.sent;
}

function receive(state: StreamState, frame: Frame, nowMs: number): StreamStep {
  switch (frame.kind) {
    case 'data':
      return takeData(state, frame.bytes);
    case 'ack':
      return takeAck(state, frame.offset);
    case 'fin':
      return takeFin(state, frame.length, nowMs);
    case 'window':
      return takeWindow(state, frame.bytes);
    case 'reset':
      return closeByReset(state, frame.code, frame.text);
    case 'ping':
      return { state, effects: [{ kind: 'send', frame: { kind: 'pong', token: frame.token } }] };
    case 'pong':
      return { state, effects: none };
    case 'notice':
      return { state, effects: [{ kind: 'notice', notice: frame.body }] };
    case 'ready':
    case 'open':
    case 'dialing':
    case 'opened':
    case 'refused':
    case 'resume':
    case 'resumed':
    case 'gone':
      return violated(state, `${frame.kind} on an open stream`);
    default:
      return frame satisfies never;
  }
}

function takeData(state: StreamState, bytes: Uint8Array): StreamStep {
  const received = state.received + bytes.length;
  if (state.finLength !== null) return violated(state, 'data after FIN');
  if (received - state.lastAck > state.window) return violated(state, 'data beyond the window');
  return { state: { ...state, received }, effects: [{ kind: 'deliver', bytes }] };
}

function takeAck(state: StreamState, offset: number): StreamStep {
  const most = state.sent + Number(state.finSent);
  if (offset < state.acked || offset > most) return violated(state, 'an ACK outside what was sent');
  const acked = Math.min(offset, state.sent);
  const finAcked = state.finAcked || offset > state.sent;
  return sendPending({ ...state, acked, finAcked, peerHas: Math.max(state.peerHas, acked) });
}

function takeWindow(state: StreamState, bytes: number): StreamStep {
  if (bytes < state.peerWindow || bytes > streamWindow.most) return violated(state, 'a WINDOW that does not grow');
  return sendPending({ ...state, peerWindow: bytes });
}

function takeFin(state: StreamState, length: number, nowMs: number): StreamStep {
  if (state.finSeen) return violated(state, 'a second FIN');
  if (length !== state.received) return violated(state, 'a FIN whose length is not what came');
  // Known from an earlier carrier: it is said again on each.
  if (state.finLength !== null) return { state: { ...state, finSeen: true }, effects: none };
  const peer = state.side === 'client' ? 'instance' : 'client';
  const seen = { ...state, finSeen: true, finLength: length, firstEnd: state.firstEnd ?? peer };
  return acknowledge(seen, state.delivered, nowMs);
}

/** The local socket took bytes: acknowledge now, soon, or finish it when they were the last. */
function acknowledge(before: StreamState, total: number, nowMs: number): StreamStep {
  const state = total === before.delivered ? before : { ...before, delivered: total };
  if (state.finLength !== null && state.delivered === state.finLength && !state.localFinished) {
    const ack: StreamEffect = { kind: 'send', frame: { kind: 'ack', offset: state.finLength + 1 } };
    const last = { ...state, localFinished: true, lastAck: state.delivered, ackDueAtMs: null };
    return closeIfDone(last, [ack, { kind: 'finish-local' }]);
  }
  if (state.delivered - state.lastAck >= state.window / 4) return sendAck(state);
  if (state.delivered === state.lastAck || state.ackDueAtMs !== null) return { state, effects: none };
  return { state: { ...state, ackDueAtMs: nowMs + ackWithinMs }, effects: none };
}

function sendAck(state: StreamState): StreamStep {
  const next = { ...state, lastAck: state.delivered, ackDueAtMs: null };
  if (state.delivered === state.lastAck) return { state: next, effects: none };
  return { state: next, effects: [{ kind: 'send', frame: { kind: 'ack', offset: state.delivered } }] };
}

/** Sends what the credit allows; the rest waits and the local socket is paused. */
function send(state: StreamState, bytes: Uint8Array): StreamStep {
  const effects: StreamEffect[] = [];
  const credit = Math.min(bytes.length, creditOf(state));
  for (let at = 0; at < credit; at += frameLimits.data) {
    effects.push({ kind: 'send-data', bytes: bytes.subarray(at, Math.min(at + frameLimits.data, credit)) });
  }
  const sent = state.sent + credit;
  const pending = credit < bytes.length ? bytes.subarray(credit) : null;
  const spent = credit === creditOf(state);
  if (spent && !state.localPaused) effects.push({ kind: 'pause-local' });
  if (!spent && state.localPaused) effects.push({ kind: 'resume-local' });
  return { state: { ...state, sent, pending, localPaused: spent }, effects };
}

function sendPending(state: StreamState): StreamStep {
  const flushed = state.pending !== null || state.localPaused ? send(state, state.pending ?? nothing) : null;
  const ended = endSending(flushed?.state ?? state);
  return flushed === null ? ended : { state: ended.state, effects: [...flushed.effects, ...ended.effects] };
}
const nothing = new Uint8Array(0);

function endSending(state: StreamState): StreamStep {
  if (!state.localEnded || state.finSent || state.pending !== null) return closeIfDone(state, none);
  const fin: StreamEffect = { kind: 'send', frame: { kind: 'fin', length: state.sent } };
  return closeIfDone({ ...state, finSent: true }, [fin]);
}
