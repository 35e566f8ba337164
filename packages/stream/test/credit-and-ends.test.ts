import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Frame } from '../src/frame/frame.ts';
import { newStreamState, type StreamEvent } from '../src/flow/flow-state.ts';
import { stepStream } from '../src/flow/step-stream.ts';
import { Answerer, byteAt, bytesFrom, End, Sender, Wires } from './two-ends.ts';

interface Plan {
  readonly windows: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly total: number;
  readonly chunk: number;
  readonly factor: number;
  readonly unsentMost: number;
  readonly first: number;
  readonly seed: number;
  /** The carrier dies after this many scheduled moves; null: never. */
  readonly cutAfter: number | null;
}

const plans = fc.record<Plan>({
  windows: fc.tuple(fc.integer({ min: 16, max: 2_000 }), fc.integer({ min: 16, max: 2_000 })),
  kernel: fc.tuple(fc.integer({ min: 1, max: 1_000 }), fc.integer({ min: 1, max: 1_000 })),
  total: fc.nat(4_000),
  chunk: fc.integer({ min: 1, max: 700 }),
  factor: fc.constantFrom(0, 1, 3, 10),
  unsentMost: fc.constantFrom(0, 100, 5_000),
  first: fc.constantFrom(0, 10, 3_000),
  seed: fc.nat(),
  cutAfter: fc.constant(null),
});

function run(plan: Plan): { client: End; instance: End; moves: number } {
  const [window, peerWindow] = plan.windows;
  const wires = new Wires();
  const near = { window, peerWindow, kernelBytes: plan.kernel[0] };
  const far = { window: peerWindow, peerWindow: window, kernelBytes: plan.kernel[1] };
  const client = new End('client', wires, near, new Sender(plan.total, plan.chunk));
  const answers = new Answerer(plan.factor, plan.unsentMost, plan.first);
  const instance = new End('instance', wires, far, answers);
  let random = plan.seed + 1;
  let nowMs = 0;
  let moves = 0;
  let idle = 0;
  // Time passes in steps of 1 ms when nothing else can: acknowledgements wait for at most 20 of them.
  while (idle < 400 && moves < 200_000) {
    if (plan.cutAfter !== null && moves === plan.cutAfter) break;
    const can = [client, instance].flatMap((end) => end.moves(() => nowMs));
    for (const to of [client, instance]) {
      const under = wires.to[to.state.side];
      if (under.length > 0) can.push(() => arrive(to, under.shift(), nowMs));
    }
    const before = client.progress() + instance.progress();
    random = (random * 1_103_515_245 + 12_345) % 2_147_483_648;
    const move = can[Math.floor((random / 2_147_483_648) * can.length)];
    move?.();
    moves++;
    nowMs += 1;
    for (const end of [client, instance])
      if (end.wakeAtMs !== null && nowMs >= end.wakeAtMs) end.step({ kind: 'tick' }, nowMs);
    expect(client.state.sent - client.state.acked).toBeLessThanOrEqual(client.state.peerWindow);
    expect(instance.state.sent - instance.state.acked).toBeLessThanOrEqual(instance.state.peerWindow);
    idle = client.progress() + instance.progress() === before ? idle + 1 : 0;
    if (client.state.closed && instance.state.closed && client.cleanEndSeen && instance.cleanEndSeen) break;
  }
  if (plan.cutAfter !== null) {
    for (const end of [client, instance]) {
      end.step({ kind: 'carrier-lost' }, nowMs);
      settle(end, nowMs);
    }
  }
  return { client, instance, moves };
}

/** The application reads what its kernel already had. */
function settle(end: End, nowMs: number): void {
  for (let before = -1; before !== end.progress(); ) {
    before = end.progress();
    for (const move of end.moves(() => nowMs)) move();
  }
}

function arrive(to: End, frame: Frame | undefined, nowMs: number): void {
  if (frame !== undefined) to.step({ kind: 'frame', frame }, nowMs);
}

const isPrefix = (end: End): boolean => end.delivered.every((byte, at) => byte === byteAt(at));

test('whatever is asked and answered, both ends see every byte and then a clean end', () => {
  fc.assert(
    fc.property(plans, (plan) => {
      const { client, instance } = run(plan);
      expect(instance.delivered).toHaveLength(plan.total);
      expect(client.delivered).toHaveLength(plan.first + plan.total * plan.factor);
      expect(isPrefix(client) && isPrefix(instance)).toBe(true);
      for (const end of [client, instance]) {
        expect(end.state.closed).toBe(true);
        expect(end.cleanEndSeen && !end.resetSeen).toBe(true);
        expect(end.effects.at(-1)).toMatchObject({ kind: 'closed', error: null });
      }
    }),
    { numRuns: 60 },
  );
});

test('holds no more than the window and one frame', () => {
  fc.assert(
    fc.property(plans, (plan) => {
      const { client, instance } = run(plan);
      expect(client.mostHeld).toBeLessThanOrEqual(plan.windows[0]);
      expect(instance.mostHeld).toBeLessThanOrEqual(plan.windows[1]);
    }),
    { numRuns: 25 },
  );
});

test('a carrier that dies anywhere delivers a prefix, and a clean end is seen only after all bytes', () => {
  fc.assert(
    fc.property(plans, fc.nat(600), (plan, cutAfter) => {
      const { client, instance } = run({ ...plan, cutAfter });
      expect(isPrefix(client) && isPrefix(instance)).toBe(true);
      expect([client, instance].every((end) => end.state.closed)).toBe(true);
      if (instance.cleanEndSeen) expect(instance.delivered).toHaveLength(plan.total);
      if (client.cleanEndSeen) expect(client.delivered).toHaveLength(plan.first + plan.total * plan.factor);
      for (const end of [client, instance]) expect(end.cleanEndSeen || end.resetSeen).toBe(true);
    }),
    { numRuns: 80 },
  );
});

const open = () => newStreamState({ side: 'instance', windowBytes: 1_000, peerWindowBytes: 1_000 });

function play(events: readonly StreamEvent[]) {
  let state = open();
  const effects = [];
  for (const event of events) {
    const result = stepStream(state, event, 0);
    state = result.state;
    effects.push(...result.effects);
  }
  return { state, effects };
}
const frame = (value: Frame): StreamEvent => ({ kind: 'frame', frame: value });
const data = (length: number): StreamEvent => frame({ kind: 'data', bytes: bytesFrom(0, length) });
const stream = 'S'.repeat(22);
const hash = 'A'.repeat(43);

const hostile: readonly (readonly [string, readonly StreamEvent[]])[] = [
  ['bytes beyond the window', [data(600), data(401)]],
  ['an ACK of what was never sent', [frame({ kind: 'ack', offset: 1 })]],
  [
    'an ACK that goes back',
    [
      { kind: 'local-data', bytes: bytesFrom(0, 10) },
      frame({ kind: 'ack', offset: 5 }),
      frame({ kind: 'ack', offset: 4 }),
    ],
  ],
  ['a FIN that is too long', [data(10), frame({ kind: 'fin', length: 11 })]],
  ['a FIN that is too short', [data(10), frame({ kind: 'fin', length: 9 })]],
  ['a second FIN', [frame({ kind: 'fin', length: 0 }), frame({ kind: 'fin', length: 0 })]],
  ['data after FIN', [frame({ kind: 'fin', length: 0 }), data(1)]],
  ['a WINDOW that shrinks', [frame({ kind: 'window', bytes: 999 })]],
  ['a WINDOW over 16 MiB', [frame({ kind: 'window', bytes: 16_777_217 })]],
  ['a second OPEN', [frame({ kind: 'open', body: { v: 1, stream: stream as never, gen: 1, window: 262_144 } })]],
  ['a second OPENED', [frame({ kind: 'opened', body: { window: 262_144 } })]],
  ['DIALING on an open stream', [frame({ kind: 'dialing' })]],
  [
    'READY on an open stream',
    [frame({ kind: 'ready', body: { requestHash: hash, head: { n: 0, hash }, instance: stream as never } })],
  ],
  ['RESUME on a live carrier', [frame({ kind: 'resume', stream, gen: 2, received: 0 })]],
  ['RESUMED out of the blue', [frame({ kind: 'resumed', received: 0 })]],
  ['GONE out of the blue', [frame({ kind: 'gone', code: 'ended', received: 0, final: true })]],
  ['bytes that are no frame', [{ kind: 'carrier-garbled', error: 'unknown frame type 99' }]],
];

test.each(hostile)('resets both sides for %s', (_, events) => {
  const { state, effects } = play(events);
  expect(state.closed).toBe(true);
  const tail = effects.slice(-3);
  expect(tail[0]).toMatchObject({ kind: 'send', frame: { kind: 'reset', code: 'protocol' } });
  expect(tail[1]).toEqual({ kind: 'reset-local' });
  expect(tail[2]).toMatchObject({ kind: 'closed', reason: 'protocol-error', error: { code: 'PAM_STREAM_PROTOCOL' } });
});

test('answers nothing and changes nothing after its end', () => {
  const ended = play([{ kind: 'carrier-lost' }]).state;
  for (const event of [
    data(1),
    frame({ kind: 'fin', length: 0 }),
    { kind: 'local-ended' },
    { kind: 'tick' },
  ] as const) {
    expect(stepStream(ended, event, 0)).toEqual({ state: ended, effects: [] });
  }
});

test('a broken local socket is told to the other end and never as a FIN', () => {
  const { effects } = play([{ kind: 'local-data', bytes: bytesFrom(0, 10) }, { kind: 'local-broken' }]);
  expect(effects.map(({ kind }) => kind)).toEqual(['send-data', 'send', 'reset-local', 'closed']);
  expect(effects[1]).toMatchObject({ frame: { kind: 'reset', code: 'broken' } });
});

test('cuts what it sends into frames of at most 64 KiB and waits for credit', () => {
  const wide = newStreamState({ side: 'client', windowBytes: 262_144, peerWindowBytes: 150_000 });
  const { state, effects } = stepStream(wide, { kind: 'local-data', bytes: new Uint8Array(200_000) }, 0);
  expect(effects.map((effect) => (effect.kind === 'send-data' ? effect.bytes.length : effect.kind))).toEqual([
    65_536,
    65_536,
    18_928,
    'pause-local',
  ]);
  expect(state.pending).toHaveLength(50_000);
  const more = stepStream(state, frame({ kind: 'ack', offset: 100_000 }), 0);
  expect(more.effects.map(({ kind }) => kind)).toEqual(['send-data', 'resume-local']);
});

test('acknowledges after a quarter of the window, else after 20 ms, else at the end', () => {
  const received = play([data(400)]).state;
  const quarter = stepStream(received, { kind: 'local-took', total: 250 }, 0);
  expect(quarter.effects).toEqual([{ kind: 'send', frame: { kind: 'ack', offset: 250 } }]);
  const little = stepStream(quarter.state, { kind: 'local-took', total: 260 }, 100);
  expect(little.effects).toEqual([{ kind: 'wake', atMs: 120 }]);
  expect(stepStream(little.state, { kind: 'tick' }, 119).effects).toEqual([{ kind: 'wake', atMs: 120 }]);
  expect(stepStream(little.state, { kind: 'tick' }, 120).effects).toEqual([
    { kind: 'send', frame: { kind: 'ack', offset: 260 } },
  ]);
  const fin = stepStream(little.state, frame({ kind: 'fin', length: 400 }), 110);
  const last = stepStream(fin.state, { kind: 'local-took', total: 400 }, 111);
  expect(last.effects.map(({ kind }) => kind)).toEqual(['send', 'finish-local']);
});

test('answers a PING with its token, whatever else goes on', () => {
  const token = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  expect(play([frame({ kind: 'ping', token })]).effects).toEqual([{ kind: 'send', frame: { kind: 'pong', token } }]);
});
