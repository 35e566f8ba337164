import { PamError } from '@sallyport/protocol';
import type { Reattached } from '@sallyport/stream';
import { createFakeClock, settle } from '@sallyport/testkit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createReattach, nextDial, redialTimes } from './redial.ts';

const away = new PamError('PAM_ROUTER_UNREACHABLE', 'refused');
const gone: Reattached = { kind: 'gone', code: 'unknown', received: 0, final: false };

test('waits under a ceiling that doubles to 1 s, and at least as long as the router asked', () => {
  fc.assert(
    fc.property(fc.nat(40), fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(5_000), (failures, jitter, asked) => {
      const plain = nextDial(failures, away, jitter);
      if (plain.kind === 'stop') return expect.unreachable();
      expect(plain.afterMs).toBeLessThanOrEqual(Math.min(1_000, 50 * 2 ** failures));
      const told = new PamError('PAM_STREAM_NOT_HERE', 'later', { detail: { retryAfterMs: asked } });
      const next = nextDial(failures, told, jitter);
      if (next.kind === 'stop') return expect.unreachable();
      expect(next.afterMs).toBeGreaterThanOrEqual(asked);
      expect(next.afterMs).toBeLessThanOrEqual(asked + 1_000);
    }),
  );
});

test('nobody who listens is asked again soon, a bounded number of times; somebody else who answers like a router that is away', () => {
  const cause = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
  const refused = new PamError('PAM_ROUTER_UNREACHABLE', 'refused', { cause });
  const after = (failures: number, error: PamError): number => {
    const next = nextDial(failures, error, 1);
    return next.kind === 'again' ? next.afterMs : Number.NaN;
  };
  expect([0, 1, 2, 3, 99, 100].map((failures) => after(failures, refused))).toEqual([50, 100, 200, 200, 200, 1_000]);
  const impostor = new PamError('PAM_ROUTER_IMPOSTOR', 'another key');
  expect([0, 1, 2, 9].map((failures) => after(failures, impostor))).toEqual([50, 100, 200, 1_000]);
});

test.each(['PAM_STREAM_GONE', 'PAM_INSTANCE_UNVERIFIED', 'PAM_SESSION_ENDED'] as const)('stops at %s', (code) =>
  expect(nextDial(0, new PamError(code, 'no'), 0.5)).toEqual({ kind: 'stop' }),
);

test('dials one after the other with growing generations, also over several losses, and leaves no timer', async () => {
  const clock = createFakeClock();
  const gens: number[] = [];
  let up = 3;
  const reattach = createReattach({ clock, jitter: () => 0 }, async ({ gen }) => {
    gens.push(gen);
    if (--up > 0) throw away;
    return gone;
  });
  for (const taken of [1, 4]) {
    up = 3;
    const found = reattach({ gen: taken, received: 0 }, new AbortController().signal);
    for (let turn = 0; turn < 4; turn++) {
      await settle();
      await clock.advance(0);
    }
    expect(await found).toBe(gone);
  }
  expect(gens).toEqual([2, 3, 4, 5, 6, 7]);
  expect(clock.pending()).toBe(0);
});

test('a dial that hangs is given up after 10 s and its leg aborted; one that is not wanted any more at once', async () => {
  const clock = createFakeClock();
  const signals: AbortSignal[] = [];
  const reattach = createReattach({ clock, jitter: () => 0 }, async (_offset, signal) => {
    signals.push(signal);
    return new Promise<never>(() => undefined);
  });
  const unwanted = new AbortController();
  const found = reattach({ gen: 1, received: 0 }, unwanted.signal);
  found.catch(() => undefined);
  await clock.advance(0);
  await settle();
  await clock.advance(redialTimes.attemptMs);
  await settle();
  await clock.advance(0);
  await settle();
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
  unwanted.abort();
  await expect(found).rejects.toMatchObject({ code: 'PAM_INTERRUPTED' });
  expect(signals[1]?.aborted).toBe(true);
  expect(clock.pending()).toBe(0);
});
