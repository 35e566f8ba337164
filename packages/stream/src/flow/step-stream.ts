import type { EndReason } from '@sallyport/protocol';
import { streamWindow } from '@sallyport/protocol';
import { type Frame, frameLimits, type ResetCode } from '../frame/frame.ts';
import {
  ackWithinMs,
  type StreamEffect,
  type StreamEvent,
  type StreamFault,
  type StreamState,
  type StreamStep,
} from './flow-state.ts';

const none: readonly StreamEffect[] = [];

/**
 * Decides what one end of an opened stream does next. Pure and synchronous; an event after the end changes nothing.
 *
 * @param nowMs - monotonic milliseconds.
 * @see docs/protocol.md "Credit", "Ends"
 */
export function stepStream(state: StreamState, event: StreamEvent, nowMs: number): StreamStep {
  if (state.closed) return { state, effects: none };
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
      return state.ackDueAtMs !== null && nowMs >= state.ackDueAtMs ? sendAck(state) : { state, effects: none };
    case 'local-broken':
      if (state.localEnded && state.localFinished) return { state, effects: none };
      return reset(state, 'broken', state.side === 'client' ? 'client-reset' : 'target-reset', null);
    case 'carrier-garbled':
      return violated(state, event.error);
    case 'carrier-lost':
      return close(state, [], 'carrier-lost', {
        code: 'PAM_STREAM_LOST',
        message: 'the way to the other end was lost before the stream ended',
      });
    case 'stop':
      return reset(state, event.code, event.reason, null);
    default:
      return event satisfies never;
  }
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
      return close(state, [], reasonOfReset(state, frame.code), faultOfReset(state, frame.code, frame.text));
    case 'ping':
      return { state, effects: [{ kind: 'send', frame: { kind: 'pong', token: frame.token } }] };
    case 'pong':
      return { state, effects: none };
    case 'notice':
      return { state, effects: [{ kind: 'notice', message: frame.body.message }] };
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
  if (offset < state.acked || offset > state.sent) return violated(state, 'an ACK outside what was sent');
  return sendPending({ ...state, acked: offset });
}

function takeWindow(state: StreamState, bytes: number): StreamStep {
  if (bytes < state.peerWindow || bytes > streamWindow.most) return violated(state, 'a WINDOW that does not grow');
  return sendPending({ ...state, peerWindow: bytes });
}

function takeFin(state: StreamState, length: number, nowMs: number): StreamStep {
  if (state.finLength !== null) return violated(state, 'a second FIN');
  if (length !== state.received) return violated(state, 'a FIN whose length is not what came');
  const peer = state.side === 'client' ? 'instance' : 'client';
  return acknowledge({ ...state, finLength: length, firstEnd: state.firstEnd ?? peer }, state.delivered, nowMs);
}

/** The local socket took bytes: acknowledge now, soon, or finish it when they were the last. */
function acknowledge(before: StreamState, total: number, nowMs: number): StreamStep {
  const state = total === before.delivered ? before : { ...before, delivered: total };
  if (state.finLength !== null && state.delivered === state.finLength && !state.localFinished) {
    const last = sendAck({ ...state, localFinished: true });
    return closeIfDone(last.state, [...last.effects, { kind: 'finish-local' }]);
  }
  if (state.delivered - state.lastAck >= state.window / 4) return sendAck(state);
  if (state.delivered === state.lastAck || state.ackDueAtMs !== null) return { state, effects: none };
  const ackDueAtMs = nowMs + ackWithinMs;
  return { state: { ...state, ackDueAtMs }, effects: [{ kind: 'wake', atMs: ackDueAtMs }] };
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

/** Done when both directions ended, all was delivered here, and the other end said so of its side. */
function closeIfDone(state: StreamState, effects: readonly StreamEffect[]): StreamStep {
  if (!state.finSent || !state.localFinished || state.acked !== state.sent) return { state, effects };
  const reason = state.firstEnd === 'client' ? 'client-closed' : 'target-closed';
  return { state: { ...state, closed: true }, effects: [...effects, { kind: 'closed', reason, error: null }] };
}

function violated(state: StreamState, what: string): StreamStep {
  return reset(state, 'protocol', 'protocol-error', {
    code: 'PAM_STREAM_PROTOCOL',
    message: `the other end broke the stream protocol: ${what}`,
  });
}

function reset(state: StreamState, code: ResetCode, reason: EndReason, error: StreamFault | null): StreamStep {
  const words = error?.message ?? reason;
  return close(state, [{ kind: 'send', frame: { kind: 'reset', code, text: words } }], reason, error);
}

function close(
  state: StreamState,
  first: readonly StreamEffect[],
  reason: EndReason,
  error: StreamFault | null,
): StreamStep {
  const effects: StreamEffect[] = [...first, { kind: 'reset-local' }, { kind: 'closed', reason, error }];
  return { state: { ...state, closed: true, pending: null }, effects };
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
      return 'carrier-lost';
    case 'stopped':
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
  if (code !== 'broken') return { code: 'PAM_SESSION_ENDED', message: `the other end stopped the stream: ${code}` };
  return state.side === 'client'
    ? { code: 'PAM_TARGET_RESET', message: 'the target broke the connection' }
    : { code: 'PAM_SESSION_ENDED', message: 'the client broke the connection' };
}
