import type { KindSession } from '@sallyport/rotation';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createKeptSessions, type KeptSession } from './kept-sessions.ts';

const limits = { ageMs: 100, idleMs: 10, uses: 3, most: 4 };

function desk() {
  let nowMs = 0;
  const timers = new Set<{ readonly atMs: number; readonly fn: () => void }>();
  const closed: string[] = [];
  const failures: unknown[] = [];
  const kept = createKeptSessions(
    {
      monotonicMs: () => nowMs,
      schedule: (ms, fn) => {
        const timer = { atMs: nowMs + ms, fn };
        timers.add(timer);
        return () => void timers.delete(timer);
      },
    },
    limits,
    (error) => void failures.push(error),
  );
  const session = (name: string): KindSession => {
    const close = (): Promise<void> => {
      closed.push(name);
      return Promise.resolve();
    };
    return {
      address: name,
      close,
      mark: async () => 0,
      check: async () => [],
      apply: async () => ({ kind: 'applied' }),
    };
  };
  return {
    ...{ kept, closed, session },
    open: () => timers.size,
    nowMs: () => nowMs,
    pass: (ms: number) => {
      nowMs += ms;
      for (const timer of [...timers]) {
        if (timer.atMs > nowMs) continue;
        timers.delete(timer);
        timer.fn();
      }
    },
  };
}

test('what is given for one place is taken for that place only, and once', () => {
  const { kept, session } = desk();
  const one = { session: session('one'), address: '10.0.0.1', bornMs: 0, uses: 1 };
  kept.give('here', one);
  expect(kept.take('there')).toBeNull();
  expect(kept.take('here')).toEqual(one);
  expect(kept.take('here')).toBeNull();
});

test('after a stop everything is closed, also what comes later', () => {
  const { kept, session, closed, open } = desk();
  kept.give('here', { session: session('one'), address: '', bornMs: 0, uses: 1 });
  kept.stop();
  kept.give('here', { session: session('two'), address: '', bornMs: 0, uses: 1 });
  expect(closed).toEqual(['one', 'two']);
  expect(open()).toBe(0);
});

test('[K1] [K2] a session is in one hand or lies here or is closed, and is never given away too old or too often used', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('connect' as const), place: fc.constantFrom('a', 'b') }),
    fc.record({ do: fc.constant('take' as const), place: fc.constantFrom('a', 'b') }),
    fc.record({ do: fc.constant('give' as const), which: fc.nat(7) }),
    fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 30 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const at = desk();
      const held: { readonly place: string; readonly kept: KeptSession }[] = [];
      let made = 0;
      for (const each of steps) {
        if (each.do === 'connect') {
          const name = `s${(made += 1)}`;
          held.push({
            place: each.place,
            kept: { session: at.session(name), address: name, bornMs: at.nowMs(), uses: 0 },
          });
        } else if (each.do === 'take') {
          const kept = at.kept.take(each.place);
          if (kept === null) continue;
          expect(at.closed).not.toContain(kept.session.address);
          expect(held.map((one) => one.kept.session)).not.toContain(kept.session);
          expect(kept.uses).toBeLessThan(limits.uses);
          expect(at.nowMs() - kept.bornMs).toBeLessThan(limits.ageMs);
          held.push({ place: each.place, kept });
        } else if (each.do === 'give') {
          const [one] = held.splice(each.which % Math.max(1, held.length), 1);
          if (one !== undefined) at.kept.give(one.place, { ...one.kept, uses: one.kept.uses + 1 });
        } else {
          at.pass(each.ms);
        }
        expect(at.open()).toBeLessThanOrEqual(limits.most);
      }
      at.pass(limits.idleMs);
      // Nothing lies here any more: each is closed, once, or in somebody's hand.
      expect(at.open()).toBe(0);
      expect(new Set(at.closed).size).toBe(at.closed.length);
      expect(at.closed.length + held.length).toBe(made);
    }),
    { numRuns: 300 },
  );
});
