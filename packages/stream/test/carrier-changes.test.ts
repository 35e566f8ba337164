import { expect, test } from 'vitest';
import {
  newStreamState,
  resumeTimes,
  type StreamEffect,
  type StreamEvent,
  type StreamState,
} from '../src/flow/flow-state.ts';
import { stepStream } from '../src/flow/step-stream.ts';
import type { Frame } from '../src/frame/frame.ts';

const bytes = (length: number): Uint8Array => new Uint8Array(length);
const frame = (value: Frame): StreamEvent => ({ kind: 'frame', frame: value });
const token = new Uint8Array(8);

function stream(side: 'client' | 'instance'): StreamState {
  const detachMs = side === 'client' ? resumeTimes.clientDetachedMs : resumeTimes.instanceDetachedMs;
  return newStreamState({ side, windowBytes: 1_000, peerWindowBytes: 1_000, detachMs });
}

/** Plays events at their times; gives the state, and what the last one did. */
function play(from: StreamState, ...events: readonly (readonly [number, StreamEvent])[]) {
  let state = from;
  let effects: readonly StreamEffect[] = [];
  for (const [atMs, event] of events) ({ state, effects } = stepStream(state, event, atMs));
  return { state, effects, kinds: effects.map(({ kind }) => kind) };
}
const sent = (length: number): StreamEvent => ({ kind: 'local-data', bytes: bytes(length) });
const lost: StreamEvent = { kind: 'carrier-lost' };
const resume = (gen: number, received: number): StreamEvent => ({ kind: 'resume', gen, received });

test('[S6] a RESUME of a generation that was used, or an older one, changes nothing and is turned away', () => {
  const running = play(stream('instance'), [0, sent(100)], [1, resume(3, 40)]).state;
  for (const gen of [0, 1, 2, 3]) {
    const { state, effects } = play(running, [2, resume(gen, 40)]);
    expect(effects).toMatchObject([{ kind: 'refuse-carrier', frame: { kind: 'reset', code: 'forget' } }]);
    expect(state).toEqual(running);
  }
});

test('[S6] one that says it has what was never sent resets the stream, one that has less than it said ends nothing', () => {
  const acked = play(stream('instance'), [0, sent(100)], [1, frame({ kind: 'ack', offset: 50 })]).state;
  const greedy = play(acked, [2, resume(2, 101)]);
  expect(greedy.state.closed).toBe(true);
  expect(greedy.kinds).toEqual(['refuse-carrier', 'send', 'reset-local', 'closed']);
  const old = play(acked, [2, resume(2, 49)]);
  expect(old.state).toEqual(acked);
  expect(old.kinds).toEqual(['refuse-carrier']);
});

test('[S5] a greater generation destroys the carrier before it is answered, and only what is missing is sent again', () => {
  const running = play(stream('instance'), [0, sent(100)], [1, frame({ kind: 'data', bytes: bytes(30) })]).state;
  const { effects, state } = play(running, [2, resume(2, 60)]);
  expect(effects.slice(0, 5)).toEqual([
    { kind: 'drop-carrier' },
    { kind: 'take-carrier' },
    { kind: 'attached', gen: 2 },
    { kind: 'send', frame: { kind: 'resumed', received: 30 } },
    { kind: 'replay', from: 60 },
  ]);
  expect(state.attachment).toEqual({ kind: 'attached', gen: 2 });
});

test('of two resumes at once the greater generation stays, in whichever order they come', () => {
  for (const [first, second] of [
    [2, 3],
    [3, 2],
  ] as const) {
    const { state } = play(stream('instance'), [0, lost], [1, resume(first, 0)], [2, resume(second, 0)]);
    expect(state.attachment).toEqual({ kind: 'attached', gen: 3 });
  }
});

test('detached, the local end is read until the window is out, and nothing is sent', () => {
  const { state } = play(stream('client'), [0, lost]);
  const some = play(state, [1, sent(600)]);
  expect(some.kinds).toEqual(['keep-data']);
  const rest = play(some.state, [2, sent(600)]);
  expect(rest.kinds).toEqual(['keep-data', 'pause-local']);
  expect(rest.state.sent).toBe(1_000);
  const back = play(rest.state, [3, { kind: 'resumed', gen: 2, told: 0, received: 250 }]);
  expect(back.effects).toContainEqual({ kind: 'replay', from: 250 });
});

test('[S7] detached ends by its limit on each side, with a reset, and says so to a late RESUME', () => {
  for (const [side, limitMs] of [
    ['client', 60_000],
    ['instance', 75_000],
  ] as const) {
    const detached = play(stream(side), [0, sent(10)], [100, lost]).state;
    expect(play(detached, [limitMs + 99, { kind: 'tick' }]).state.closed).toBe(false);
    const over = play(detached, [limitMs + 100, { kind: 'tick' }]);
    expect(over.effects).toMatchObject([{ kind: 'reset-local' }, { kind: 'closed', reason: 'detached-timeout' }]);
    if (side === 'client') continue;
    expect(play(over.state, [limitMs + 200, resume(9, 0)]).effects).toEqual([
      {
        kind: 'refuse-carrier',
        frame: { kind: 'gone', code: 'detached-timeout', received: 0, final: false },
      },
    ]);
  }
});

test('bytes of a target that has answered and closed are waited for as long as any, a mere FIN for 5 s', () => {
  const answered = play(
    stream('instance'),
    [0, sent(500)],
    [1, { kind: 'local-ended' }],
    [2, frame({ kind: 'fin', length: 0 })],
  ).state;
  const limitOf = (state: StreamState): unknown => play(state, [100, lost]).state.attachment;
  expect(limitOf(answered)).toMatchObject({ kind: 'detached', limitAtMs: 75_100 });
  const confirmed = play(answered, [3, frame({ kind: 'ack', offset: 500 })]).state;
  expect(limitOf(confirmed)).toMatchObject({ kind: 'detached', limitAtMs: 5_100 });
});

test('a client whose program left while it was detached looks 5 s more to say so, and says it first', () => {
  const left = play(stream('client'), [0, lost], [1_000, { kind: 'local-broken' }]).state;
  expect(left.attachment).toMatchObject({ kind: 'detached', limitAtMs: 6_000 });
  const told = play(left, [3_000, { kind: 'resumed', gen: 2, told: 0, received: 0 }]);
  expect(told.effects).toContainEqual({ kind: 'send', frame: { kind: 'reset', code: 'broken', text: 'client-reset' } });
  expect(told.state.closed).toBe(true);
  const untold = play(left, [6_000, { kind: 'tick' }]);
  expect(untold.effects.at(-1)).toMatchObject({ kind: 'closed', reason: 'client-reset', error: null });
});

test('a target that ends while its stream is detached: its bytes and then its end are delivered on resume', () => {
  const broken = play(stream('instance'), [0, lost], [1, sent(80)], [2, { kind: 'local-broken' }]);
  expect(broken.state.closed).toBe(false);
  const reset = play(broken.state, [60_000, resume(2, 0)]).effects;
  const order = reset.flatMap((one) => (one.kind === 'send' ? [one.frame.kind] : [one.kind]));
  expect(order.slice(order.indexOf('replay'))).toEqual(['replay', 'reset', 'reset-local', 'closed']);
  const ended = play(stream('instance'), [0, lost], [1, sent(80)], [2, { kind: 'local-ended' }], [3, resume(2, 0)]);
  const tail = ended.effects.map((one) => (one.kind === 'send' ? one.frame : one.kind));
  expect(tail.slice(tail.indexOf('replay'), -1)).toEqual(['replay', { kind: 'fin', length: 80 }]);
});

test('a FIN that came twice over two carriers ends the local socket once', () => {
  const finished = play(stream('client'), [0, frame({ kind: 'fin', length: 0 })]);
  expect(finished.kinds).toEqual(['send', 'finish-local', 'wake']);
  const again = play(
    finished.state,
    [1, lost],
    [2, { kind: 'resumed', gen: 2, told: 0, received: 0 }],
    [3, frame({ kind: 'fin', length: 0 })],
  );
  expect(again.state.closed).toBe(false);
  expect(again.kinds).toEqual([]);
});

test('GONE after a clean end is a clean end where everything had been seen, and a reset where not', () => {
  const gone: StreamEvent = { kind: 'gone', code: 'ended', received: 10, final: true };
  const done = play(
    stream('client'),
    [0, sent(10)],
    [1, { kind: 'local-ended' }],
    [2, frame({ kind: 'fin', length: 0 })],
    [3, lost],
    [4, gone],
  );
  expect(done.effects).toMatchObject([{ kind: 'closed', reason: 'client-closed', error: null }]);
  for (const event of [gone, { ...gone, final: false }, { ...gone, code: 'unknown' } as const]) {
    const cut = play(stream('client'), [0, sent(10)], [1, lost], [2, event]);
    expect(cut.effects).toMatchObject([
      { kind: 'reset-local' },
      { kind: 'closed', error: { code: 'PAM_STREAM_LOST' } },
    ]);
  }
});

test('with bytes out and nothing heard it asks after 1 s and gives the carrier up after 3 s', () => {
  const out = play(stream('instance'), [5_000, sent(10)]);
  expect(out.effects.at(-1)).toEqual({ kind: 'wake', atMs: 6_000 });
  const asked = play(out.state, [6_000, { kind: 'tick' }]);
  expect(asked.effects[0]).toEqual({ kind: 'send', frame: { kind: 'ping', token } });
  const gone = play(asked.state, [8_000, { kind: 'tick' }]);
  expect(gone.kinds.slice(0, 2)).toEqual(['drop-carrier', 'detached']);
});

test('a peer that takes nothing but answers is not given up, however long it takes nothing', () => {
  let { state } = play(stream('instance'), [0, sent(1_000)]);
  let pings = 0;
  for (let atMs = 100; atMs < 600_000; atMs += 100) {
    const step = stepStream(state, { kind: 'tick' }, atMs);
    state = step.state;
    if (!step.effects.some((one) => one.kind === 'send' && one.frame.kind === 'ping')) continue;
    pings++;
    state = stepStream(state, frame({ kind: 'pong', token }), atMs + 50).state;
  }
  expect(state.attachment.kind).toBe('attached');
  expect(pings).toBeGreaterThan(400);
});

test('an idle client asks ever more seldom, an idle instance never', () => {
  const asks: number[] = [];
  let { state } = play(stream('client'), [0, { kind: 'tick' }]);
  for (let atMs = 100; atMs < 60_000; atMs += 100) {
    const step = stepStream(state, { kind: 'tick' }, atMs);
    state = step.state;
    if (!step.effects.some((one) => one.kind === 'send')) continue;
    asks.push(atMs);
    state = stepStream(state, frame({ kind: 'pong', token }), atMs).state;
  }
  expect(asks).toEqual([1_500, 4_500, 10_500, 22_500, 34_500, 46_500, 58_500]);
  expect(play(stream('instance'), [0, { kind: 'tick' }]).effects).toEqual([]);
});

test('a process that was stopped blames the silence on itself', () => {
  const asked = play(stream('client'), [0, sent(10)], [1_000, { kind: 'tick' }]).state;
  const woken = play(asked, [90_000, { kind: 'tick' }]);
  expect(woken.state.attachment.kind).toBe('attached');
  expect(play(woken.state, [93_000, { kind: 'tick' }]).state.attachment.kind).toBe('detached');
});

test('stopped while detached it ends at once, with nobody to tell', () => {
  const { kinds, state } = play(
    stream('instance'),
    [0, lost],
    [1, { kind: 'stop', code: 'deadline', reason: 'deadline' }],
  );
  expect(kinds).toEqual(['reset-local', 'closed']);
  expect(play(state, [2, resume(2, 0)]).effects).toMatchObject([
    { frame: { kind: 'gone', code: 'ended', final: false } },
  ]);
});

test('without a time to be resumed in, the loss of the carrier is the end', () => {
  const { effects } = play(newStreamState({ side: 'client', windowBytes: 1_000, peerWindowBytes: 1_000 }), [0, lost]);
  expect(effects).toMatchObject([{ kind: 'reset-local' }, { kind: 'closed', reason: 'carrier-lost' }]);
});
