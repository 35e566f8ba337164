import { expect, test } from 'vitest';
import { reasonsNotReady } from './readiness.ts';

const slot = { ready: true, membership: { kind: 'slot', seq: 1, epoch: 1 }, code: null, sinceMs: 0 } as const;
const standby = {
  ...slot,
  membership: { kind: 'standby', position: 1, reason: 'pool full: maximum 3, connected 3' },
} as const;
const away = { ...slot, ready: false, code: 'PAM_CLOCK_SKEW', sinceMs: Date.UTC(2026, 0, 1) } as const;
const codes = (...of: Parameters<typeof reasonsNotReady>): string[] => reasonsNotReady(...of).map(({ code }) => code);

test('ready is who would take new work: a slot, link up, and nobody who wants it to stop', () => {
  expect(codes(slot, 'serve', false)).toEqual([]);
  expect(codes(slot, 'cordoned', true)).toEqual(['cordoned']);
  expect(codes(slot, 'stopping', true)).toEqual(['stopping']);
  expect([codes(standby, 'serve', false), codes(standby, 'serve', true)]).toEqual([['standby'], []]);
});

test('a link that is away says since when, and by its code what the clock or the router has to do with it', () => {
  const [reason] = reasonsNotReady(away, 'serve', true);
  expect(reason?.text).toMatch(
    /^the link to the router is away since 2026-01-01T00:00:00.000Z \(PAM_CLOCK_SKEW: .*\)$/,
  );
});
