import type { GatewayUid, JobId } from '@sallyport/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createOfferDesk } from './offer-desk.ts';

const gateway = 'gateway' as GatewayUid;
const job = (n: number): JobId => `job${n}` as JobId;
const desk = () => createOfferDesk({ atOnce: 2, offerWithinMs: 100, claimWithinMs: 1_000, tryEveryMs: 500 });

test('a job is in one hand at a time, and in no other before its claim is overdue', () => {
  const offers = desk();
  expect(offers.take(job(1), gateway, 0)).toBe(true);
  expect(offers.take(job(1), gateway, 50)).toBe(false);
  offers.accepted(job(1), 50);
  expect(offers.take(job(1), gateway, 1_049)).toBe(false);
  expect(offers.take(job(1), gateway, 1_050)).toBe(true);
});

test('so many of a gateway at once, and others only when one is settled', () => {
  const offers = desk();
  expect([1, 2, 3].map((n) => offers.take(job(n), gateway, 0))).toEqual([true, true, false]);
  expect(offers.take(job(3), 'other' as GatewayUid, 0)).toBe(true);
  offers.settled(job(1));
  offers.settled(job(1));
  expect([4, 5].map((n) => offers.take(job(n), gateway, 0))).toEqual([true, false]);
});

test('a gateway whose instances are all busy is left alone until one has room', () => {
  const offers = desk();
  offers.full(gateway, 0);
  expect(offers.take(job(1), gateway, 499)).toBe(false);
  expect(offers.take(job(1), 'other' as GatewayUid, 499)).toBe(true);
  offers.roomier(gateway);
  expect(offers.take(job(2), gateway, 499)).toBe(true);
  expect(offers.take(job(3), gateway, 499)).toBe(false);
});

test('room that nobody told of is found by one try, and what it finds by more', () => {
  const offers = desk();
  offers.full(gateway, 0);
  expect([1, 2].map((n) => offers.take(job(n), gateway, 500))).toEqual([true, false]);
  offers.accepted(job(1), 510);
  offers.settled(job(1));
  expect([2, 3].map((n) => offers.take(job(n), gateway, 510))).toEqual([true, true]);
  offers.full(gateway, 520);
  offers.settled(job(2));
  offers.settled(job(3));
  expect(offers.take(job(4), gateway, 530)).toBe(false);
});

test('of a queue so many are looked at as may be offered, behind those in hand', () => {
  const offers = desk();
  expect(offers.wanted(gateway, 0)).toBe(2);
  offers.take(job(1), gateway, 0);
  expect(offers.wanted(gateway, 0)).toBe(2);
  offers.take(job(2), gateway, 0);
  expect(offers.wanted(gateway, 0)).toBeNull();
  offers.settled(job(1));
  offers.full(gateway, 0);
  expect(offers.wanted(gateway, 499)).toBeNull();
  expect(offers.wanted(gateway, 500)).toBe(2);
  offers.settled(job(2));
  offers.roomier(gateway);
  expect(offers.wanted(gateway, 499)).toBe(1);
});

test('what is looked at holds everything that the desk would take', () => {
  const move = fc.record({
    what: fc.constantFrom('take', 'settle', 'full', 'roomier', 'accept'),
    n: fc.nat(5),
    ms: fc.nat(300),
  });
  fc.assert(
    fc.property(fc.array(move, { maxLength: 40 }), (moves) => {
      const offers = desk();
      let [at, next] = [0, 10];
      const held: number[] = [];
      for (const { what, n, ms } of moves) {
        at += ms;
        const one = held[n % Math.max(1, held.length)];
        if (what === 'full') offers.full(gateway, at);
        if (what === 'roomier') offers.roomier(gateway);
        if (what === 'accept' && one !== undefined) offers.accepted(job(one), at);
        if (what === 'settle' && one !== undefined) {
          offers.settled(job(one));
          held.splice(held.indexOf(one), 1);
        }
        if (what !== 'take') continue;
        const wanted = offers.wanted(gateway, at);
        const isTaken = offers.take(job(next), gateway, at);
        expect(isTaken).toBe(wanted !== null && wanted > held.length);
        if (isTaken) held.push(next);
        next += 1;
      }
    }),
  );
});

test('of a long queue an instance with room for so many is offered few more than it does, and is never left idle', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 200 }), (takesOfJobs) => {
      const offers = createOfferDesk({ atOnce: 16, offerWithinMs: 100, claimWithinMs: 1_000, tryEveryMs: 1_000 });
      const mostAtOnce = 8;
      const running: number[] = [];
      let [next, refused] = [0, 0];
      for (let at = 0; next < takesOfJobs.length || running.length > 0; at += 1) {
        expect(at).toBeLessThan(10_000);
        // All that may be offered now are on their way together, before the first answer.
        const sent: number[] = [];
        while (next + sent.length < takesOfJobs.length && offers.take(job(next + sent.length), gateway, at)) {
          sent.push(next + sent.length);
        }
        for (const one of sent) {
          if (running.length < mostAtOnce) {
            offers.accepted(job(one), at);
            running.push(at + (takesOfJobs[one] ?? 0));
            next += 1;
          } else {
            refused += 1;
            offers.full(gateway, at);
          }
          offers.settled(job(one));
        }
        if (next < takesOfJobs.length) expect(running).toHaveLength(mostAtOnce);
        const ended = running.filter((end) => end <= at + 1);
        for (const end of ended) {
          running.splice(running.indexOf(end), 1);
          offers.roomier(gateway);
        }
      }
      // The first round is blind; afterwards only the tries are refused, one in 1,000 turns.
      expect(refused).toBeLessThanOrEqual(8 + 1);
    }),
    { numRuns: 200 },
  );
});
