import type { GatewayUid, JobId } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { createOfferDesk } from './offer-desk.ts';

const gateway = 'gateway' as GatewayUid;
const job = (n: number): JobId => `job${n}` as JobId;
const desk = () => createOfferDesk({ atOnce: 2, offerWithinMs: 100, claimWithinMs: 1_000 });

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
  offers.full(gateway, 500);
  expect(offers.take(job(1), gateway, 499)).toBe(false);
  expect(offers.take(job(1), 'other' as GatewayUid, 499)).toBe(true);
  offers.roomier(gateway);
  expect(offers.take(job(2), gateway, 499)).toBe(true);
});
