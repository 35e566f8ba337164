import { PamError } from '@sallyport/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type LinkEffect,
  type LinkEvent,
  type LinkState,
  linkTimes,
  linkWakeAtMs,
  newLinkState,
  stepLink,
} from './link-life.ts';

const settings = { routers: 2, carries: false };
const beatMs = 250;
const suspectMs = 1_000;
const away = new PamError('PAM_ROUTER_UNREACHABLE', 'refused');

/** A link under a fake clock: keeps time, state and every effect. */
function play() {
  let state: LinkState = newLinkState();
  let nowMs = 1_000;
  const effects: LinkEffect[] = [];
  const send = (event: LinkEvent, random = 0.5): readonly LinkEffect[] => {
    const step = stepLink(state, event, settings, { nowMs, random });
    state = step.state;
    effects.push(...step.effects);
    return step.effects;
  };
  const link = (): number => state.link;
  return {
    send,
    link,
    effects,
    state: () => state,
    now: () => nowMs,
    pass: (ms: number) => {
      nowMs += ms;
    },
    /** Lets time pass to the next wake and ticks. */
    wake: (random = 0.5) => {
      nowMs = Math.max(nowMs, linkWakeAtMs(state) ?? nowMs);
      return send({ kind: 'tick' }, random);
    },
    admit: (
      membership: Extract<LinkEvent, { kind: 'admitted' }>['membership'] = { kind: 'slot', seq: 4, epoch: 9 },
    ) => {
      send({ kind: 'connected', link: link() });
      send({ kind: 'challenged', link: link() });
      return send({ kind: 'admitted', link: link(), membership, beatMs, suspectMs });
    },
    lose: (error: PamError = away, random = 0.5) => send({ kind: 'lost', link: link(), error }, random),
    sayings: () => effects.filter((effect) => effect.kind === 'say').map((effect) => effect.what.kind),
  };
}

test('a start dials, proves itself after the challenge and beats at once when admitted', () => {
  const it = play();
  expect(it.send({ kind: 'start' })).toEqual([{ kind: 'dial', link: 1, router: 0 }]);
  it.send({ kind: 'connected', link: 1 });
  expect(it.send({ kind: 'challenged', link: 1 })).toEqual([{ kind: 'prove', link: 1 }]);
  const slot = { kind: 'slot', seq: 4, epoch: 9 } as const;
  it.send({ kind: 'admitted', link: 1, membership: slot, beatMs, suspectMs });
  expect(it.state().held).toEqual({ seq: 4, epoch: 9 });
  expect(it.wake()).toEqual([{ kind: 'ping', link: 1, seq: 1, heard: 0 }]);
  expect(it.sayings()).toEqual(['slot']);
});

test('a router that is down is said once, whatever the number of attempts', () => {
  const it = play();
  it.send({ kind: 'start' });
  for (let attempt = 0; attempt < 50; attempt++) {
    it.lose(attempt % 2 === 0 ? away : new PamError('PAM_TIMEOUT', 'late'));
    it.wake();
  }
  expect(it.sayings()).toEqual(['unreachable']);
  it.admit();
  it.lose();
  for (let attempt = 0; attempt < 50; attempt++) {
    it.wake();
    it.lose();
  }
  expect(it.sayings()).toEqual(['unreachable', 'slot', 'lost']);
});

test('who holds a slot redials within 3 s, so that dial and hello fit into the grace of the router', () => {
  const it = play();
  it.send({ kind: 'start' });
  it.admit();
  it.pass(linkTimes.settledAfterMs);
  for (let attempt = 0; attempt < 20; attempt++) {
    it.lose(away, 0.999);
    expect((linkWakeAtMs(it.state()) ?? 0) - it.now()).toBeLessThan(3_000);
    it.wake();
  }
});

test('the first redial comes within 200 ms, later ones within 10 s, and a retry-after is obeyed', () => {
  const it = play();
  it.send({ kind: 'start' });
  it.admit({ kind: 'standby', position: 1, reason: 'full' });
  it.pass(linkTimes.settledAfterMs);
  it.lose(away, 0.999);
  const first = (linkWakeAtMs(it.state()) ?? 0) - it.now();
  expect(first).toBeLessThan(200);
  for (let attempt = 0; attempt < 20; attempt++) {
    it.wake();
    it.lose(away, 0.999);
    expect((linkWakeAtMs(it.state()) ?? 0) - it.now()).toBeLessThan(10_000);
  }
  expect((linkWakeAtMs(it.state()) ?? 0) - it.now()).toBeGreaterThan(9_000);
  it.wake();
  it.lose(new PamError('PAM_POOL_STANDBY_FULL', 'full', { detail: { retryAfterMs: 30_000 } }), 0);
  expect((linkWakeAtMs(it.state()) ?? 0) - it.now()).toBe(30_000);
});

const held = { kind: 'slot', seq: 4, epoch: 9 } as const;
const standby = { kind: 'standby', position: 1, reason: 'full' } as const;

/** Longest redials of one that was admitted, when each dial fails so; of the first to the twentieth. */
function longestRedials(membership: typeof held | typeof standby, carries: boolean, letIn: boolean): readonly number[] {
  const own = { ...settings, carries };
  const link = (state: LinkState) => ({ link: state.link });
  let nowMs = 0;
  let state = newLinkState();
  const send = (event: LinkEvent): void => {
    state = stepLink(state, event, own, { nowMs, random: 0.999_999 }).state;
  };
  send({ kind: 'start' });
  send({ kind: 'connected', ...link(state) });
  send({ kind: 'challenged', ...link(state) });
  send({ kind: 'admitted', ...link(state), membership, beatMs, suspectMs });
  nowMs += linkTimes.settledAfterMs;
  return Array.from({ length: 20 }, () => {
    send({ kind: 'lost', ...link(state), error: away });
    const delayMs = (linkWakeAtMs(state) ?? 0) - nowMs;
    nowMs += delayMs;
    send({ kind: 'tick' });
    if (letIn) send({ kind: 'reached', ...link(state) });
    return Math.round(delayMs);
  });
}

test('a router that lets us connect and no further has a crowd: redials go on doubling, where a dead one is asked again', () => {
  const most = (...of: Parameters<typeof longestRedials>): number => Math.max(...longestRedials(...of));
  expect([most(standby, false, false), most(standby, false, true)]).toEqual([10_000, 60_000]);
  expect([most(held, false, false), most(held, false, true)]).toEqual([3_000, 10_000]);
  expect([most(held, true, false), most(held, true, true)]).toEqual([250, 3_000]);
  // The first few are alike: a router that restarts behind a balancer looks like a crowd for a moment.
  expect(longestRedials(held, false, true).slice(0, 4)).toEqual([200, 800, 1_600, 3_200]);
  expect(longestRedials(held, true, true).slice(0, 6)).toEqual([200, 250, 500, 1_000, 2_000, 3_000]);
});

test('a connection that waits for its handshake is kept for a minute; one that does not come up, for 10 s', () => {
  const it = play();
  it.send({ kind: 'start' });
  expect((linkWakeAtMs(it.state()) ?? 0) - it.now()).toBe(10_000);
  it.send({ kind: 'reached', link: 1 });
  expect((linkWakeAtMs(it.state()) ?? 0) - it.now()).toBe(60_000);
  expect(it.wake()).toContainEqual({ kind: 'cut', link: 1, why: 'late' });
  it.wake();
  it.send({ kind: 'reached', link: 2 });
  it.pass(59_000);
  it.admit();
  expect(it.sayings().at(-1)).toBe('slot');
});

test('an admission that does not last does not start the row of redials anew', () => {
  const it = play();
  it.send({ kind: 'start' });
  const standby = { kind: 'standby', position: 1, reason: 'full' } as const;
  for (let round = 0; round < 8; round++) {
    it.admit(standby);
    it.lose();
    it.wake(0.999);
  }
  it.admit(standby);
  it.lose(away, 0.999);
  expect((linkWakeAtMs(it.state()) ?? 0) - it.now()).toBeGreaterThan(5_000);
});

test('no pong for twice S cuts the link and redials', () => {
  const it = play();
  it.send({ kind: 'start' });
  it.admit();
  const from = it.now();
  let cut: readonly LinkEffect[] = [];
  while (cut.length === 0) cut = it.wake().filter((effect) => effect.kind === 'cut');
  expect(it.now() - from).toBe(2 * suspectMs);
  expect(cut).toEqual([{ kind: 'cut', link: 1, why: 'no-pong' }]);
  expect(it.wake()).toEqual([{ kind: 'dial', link: 2, router: 1 }]);
});

test('a pause of this process is not silence of the router', () => {
  const it = play();
  it.send({ kind: 'start' });
  it.admit();
  it.wake();
  it.pass(10_000);
  expect(it.send({ kind: 'tick' }).map((effect) => effect.kind)).toEqual(['ping']);
  it.send({ kind: 'pong', link: 1, seq: 2, beatMs });
  expect(it.state().phase.kind).toBe('admitted');
});

test('pongs that were never pinged, old ones and those of an older link prove nothing', () => {
  const it = play();
  it.send({ kind: 'start' });
  it.admit();
  it.wake();
  const before = it.state();
  it.pass(100);
  it.send({ kind: 'pong', link: 1, seq: 7, beatMs });
  it.send({ kind: 'pong', link: 1, seq: 0, beatMs });
  it.send({ kind: 'pong', link: 0, seq: 1, beatMs });
  expect(it.state()).toEqual(before);
});

test('a shorter interval told in a pong is taken up at once', () => {
  const it = play();
  it.send({ kind: 'start' });
  it.send({ kind: 'connected', link: 1 });
  it.send({ kind: 'challenged', link: 1 });
  const slot = { kind: 'slot', seq: 4, epoch: 9 } as const;
  it.send({
    kind: 'admitted',
    link: 1,
    membership: slot,
    beatMs: 5_000,
    suspectMs: 20_000,
  });
  it.wake();
  it.send({ kind: 'pong', link: 1, seq: 1, beatMs: 250 });
  expect((linkWakeAtMs(it.state()) ?? 0) - it.now()).toBe(250);
});

test('who knows one router only waits longer for his turn: there is nowhere else to go', () => {
  const untilMs = (routers: number): number | null => {
    let state = stepLink(newLinkState(), { kind: 'start' }, { ...settings, routers }, { nowMs: 0, random: 0 }).state;
    ({ state } = stepLink(state, { kind: 'reached', link: 1 }, { ...settings, routers }, { nowMs: 0, random: 0 }));
    return linkWakeAtMs(state);
  };
  expect([1, 2, 8].map(untilMs)).toEqual([300_000, 60_000, 60_000]);
});

test('with a longer beat told in a pong goes a longer silence, and with a shorter one a shorter', () => {
  const it = play();
  it.send({ kind: 'start' });
  it.admit({ kind: 'slot', seq: 4, epoch: 9 });
  const silentFor = (): number => {
    const from = it.now();
    for (let n = 0; n < 1_000 && it.state().phase.kind === 'admitted'; n++) it.wake();
    return it.now() - from;
  };
  it.wake();
  it.send({ kind: 'pong', link: 1, seq: 1, beatMs: 8 * beatMs });
  it.send({ kind: 'tick' });
  const { phase } = it.state();
  expect(phase).toMatchObject({ kind: 'admitted', beatMs: 2_000, suspectMs: 8_000 });
  expect(silentFor()).toBe(16_000);
});

test('a standby says why it waits, once per reason, and says its promotion', () => {
  const it = play();
  it.send({ kind: 'start' });
  const reason = 'pool full: maximum 3, connected 3';
  it.admit({ kind: 'standby', position: 1, reason });
  expect(it.state().held).toBeNull();
  it.send({ kind: 'membership', link: 1, membership: { kind: 'standby', position: 1, reason } });
  it.send({ kind: 'membership', link: 1, membership: { kind: 'slot', seq: 8, epoch: 3 } });
  expect(it.effects.filter((effect) => effect.kind === 'say').map((effect) => effect.what)).toEqual([
    { kind: 'standby', position: 1, reason },
    { kind: 'slot', seq: 8, epoch: 3, promoted: true },
  ]);
  expect(it.state().held).toEqual({ seq: 8, epoch: 3 });
});

test('a slot is believed over a blip and forgotten when the router says standby', () => {
  const it = play();
  it.send({ kind: 'start' });
  it.admit();
  it.lose();
  expect(it.state().held).toEqual({ seq: 4, epoch: 9 });
  it.wake();
  it.admit({ kind: 'standby', position: 0, reason: 'displaced' });
  expect(it.state().held).toBeNull();
});

const finalAlways = ['PAM_GATEWAY_REMOVED', 'PAM_INSTANCE_REFUSED', 'PAM_POOL_FULL'] as const;
const finalAtStart = [
  'PAM_ROUTER_IMPOSTOR',
  'PAM_CLOCK_SKEW',
  'PAM_VERSION_UNSUPPORTED',
  'PAM_TRUST_FORKED',
  'PAM_TRUST_SHORTENED',
  'PAM_TRUST_ANCHOR',
  'PAM_TRUST_ENTRY_INVALID',
  'PAM_WRAP_INVALID',
] as const;
test.each([...finalAlways, ...finalAtStart])('%s ends a start with itself', (code) => {
  const it = play();
  it.send({ kind: 'start' });
  const error = new PamError(code, 'no');
  expect(it.lose(error).at(-1)).toEqual({ kind: 'give-up', error });
  expect(linkWakeAtMs(it.state())).toBeNull();
  expect(it.send({ kind: 'start' })).toEqual([]);
});
test.each(finalAtStart)('%s after the hello, before the trust log was verified, still ends a start', (code) => {
  const it = play();
  it.send({ kind: 'start' });
  it.admit();
  expect(it.lose(new PamError(code, 'no')).at(-1)?.kind).toBe('give-up');
});
test.each(finalAtStart)('%s does not end an instance that was admitted: its streams run on', (code) => {
  const it = play();
  it.send({ kind: 'start' });
  it.admit();
  it.send({ kind: 'settled', link: it.link() });
  it.lose();
  it.wake();
  expect(it.lose(new PamError(code, 'no')).some((effect) => effect.kind === 'give-up')).toBe(false);
  expect(it.sayings().at(-1)).toBe('unreachable');
});

test('whatever happens in whatever order: never two links, never without a way on, pings only while admitted', () => {
  const membership = fc.oneof(
    fc.record({ kind: fc.constant('slot' as const), seq: fc.nat(9), epoch: fc.nat(9) }),
    fc.record({ kind: fc.constant('standby' as const), position: fc.nat(9), reason: fc.string() }),
  );
  const error = fc
    .constantFrom(
      'PAM_ROUTER_UNREACHABLE',
      'PAM_LEG_FAILED',
      'PAM_TIMEOUT',
      'PAM_POOL_STANDBY_FULL',
      'PAM_ROUTER_IMPOSTOR',
    )
    .map((code) => new PamError(code, 'x'));
  const event = (link: fc.Arbitrary<number>): fc.Arbitrary<LinkEvent> =>
    fc.oneof(
      fc.constantFrom<LinkEvent>({ kind: 'start' }, { kind: 'tick' }),
      fc.record({
        kind: fc.constantFrom('reached' as const, 'connected' as const, 'challenged' as const, 'settled' as const),
        link,
      }),
      fc.record({
        kind: fc.constant('admitted' as const),
        link,
        membership,
        beatMs: fc.integer({ min: 50, max: 60_000 }),
        suspectMs: fc.integer({ min: 100, max: 120_000 }),
      }),
      fc.record({ kind: fc.constant('membership' as const), link, membership }),
      fc.record({
        kind: fc.constant('pong' as const),
        link,
        seq: fc.nat(30),
        beatMs: fc.integer({ min: 50, max: 60_000 }),
      }),
      fc.record({ kind: fc.constant('lost' as const), link, error }),
    );
  const turn = fc.record({
    event: event(fc.nat(12)),
    current: fc.boolean(),
    pass: fc.nat(3_000),
    random: fc.double({ min: 0, max: 0.999, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(turn, { maxLength: 80 }), (turns) => {
      let state = stepLink(newLinkState(), { kind: 'start' }, settings, { nowMs: 0, random: 0 }).state;
      let nowMs = 0;
      for (const { event, current, pass, random } of turns) {
        nowMs += pass;
        const aimed: LinkEvent = 'link' in event && current ? { ...event, link: state.link } : event;
        const before = state;
        const step = stepLink(state, aimed, settings, { nowMs, random });
        state = step.state;
        for (const effect of step.effects) {
          if (effect.kind === 'dial') {
            expect(before.phase.kind).toBe('waiting');
            expect(effect.link).toBe(before.link + 1);
            expect(effect.router).toBeLessThan(settings.routers);
          }
          if (effect.kind === 'ping') expect(before.phase.kind).toBe('admitted');
        }
        if (step.effects.some((effect) => effect.kind === 'give-up')) expect(state.phase.kind).toBe('stopped');
        if (state.phase.kind !== 'stopped') expect(linkWakeAtMs(state)).not.toBeNull();
      }
    }),
    { numRuns: 400 },
  );
});

const twin = new PamError('PAM_INSTANCE_DUPLICATE', 'another live process');
/** A hello that the router refuses with this. */
const refuseHello = (it: ReturnType<typeof play>, error: PamError): readonly LinkEffect[] => {
  it.send({ kind: 'connected', link: it.link() });
  it.send({ kind: 'challenged', link: it.link() });
  return it.lose(error);
};

test('refused once as a duplicate it waits until a ghost of its own cannot answer any more; refused twice it gives up', () => {
  const it = play();
  it.send({ kind: 'start' });
  expect(refuseHello(it, twin).some((effect) => effect.kind === 'give-up')).toBe(false);
  expect((linkWakeAtMs(it.state()) ?? 0) - it.now()).toBeGreaterThanOrEqual(linkTimes.ghostMs);
  it.wake();
  expect(refuseHello(it, twin)).toContainEqual({ kind: 'give-up', error: twin });
  expect(it.state().phase.kind).toBe('stopped');
});

test('an admission, or the loss of an admitted link to a newcomer, is no second refusal', () => {
  const it = play();
  it.send({ kind: 'start' });
  refuseHello(it, twin);
  it.wake();
  it.admit();
  it.lose(twin);
  it.wake();
  expect(refuseHello(it, twin).some((effect) => effect.kind === 'give-up')).toBe(false);
  it.wake();
  it.admit();
  expect(it.state().phase.kind).toBe('admitted');
});
