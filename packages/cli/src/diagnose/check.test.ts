import { PamError } from '@sallyport/protocol';
import { createFakeClock } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { createChecklist, exitOf } from './check.ts';
import { compareClocks } from './router-checks.ts';

const fine = async () => ({ text: 'fine', value: 1 });
const broken = async (): Promise<never> => {
  throw new PamError('PAM_ROUTER_UNREACHABLE', 'no connection');
};

test('a step that failed skips what needs it, and nothing else', async () => {
  const told: string[] = [];
  const list = createChecklist(createFakeClock(), new AbortController().signal, (check) =>
    told.push(`${check.id} ${check.status}`),
  );
  const a = await list.run('a', 'a', [], broken);
  const b = await list.run('b', 'b', [a], fine);
  await list.run('c', 'c', [b], fine);
  await list.run('d', 'd', [], fine);
  expect(told).toEqual(['a failed', 'b skipped', 'c skipped', 'd ok']);
  expect(list.checks[0]).toMatchObject({ code: 'PAM_ROUTER_UNREACHABLE', remedy: expect.stringMatching(/\S/) });
  expect(exitOf(list.checks)).toBe(69);
});

test('a step that never answers ends when time is over, and the rest is not tried', async () => {
  const life = new AbortController();
  const list = createChecklist(createFakeClock(), life.signal, () => undefined);
  const stuck = list.run('stuck', 'stuck', [], () => new Promise<never>(() => undefined));
  life.abort(new PamError('PAM_TIMEOUT', 'out of time'));
  expect(await stuck).toBeNull();
  expect(await list.run('next', 'next', [], fine)).toBeNull();
  expect(list.checks.map((check) => [check.status, check.code])).toEqual([
    ['failed', 'PAM_TIMEOUT'],
    ['skipped', null],
  ]);
  expect(exitOf(list.checks)).toBe(75);
});

test('a warning is no failure; steps skipped for want of time are', () => {
  const check = { id: 'x', title: 'x', text: '', tookMs: 0, code: null, remedy: null } as const;
  expect(exitOf([{ ...check, status: 'warning' }])).toBe(0);
  expect(exitOf([{ ...check, status: 'skipped' }])).toBe(75);
});

test.each([
  [0, 'agrees'],
  [-4_000, 'agrees'],
  [12_000, '12 s ahead'],
  [-29_000, '29 s behind'],
])('a clock %i ms ahead is told as “%s”', (aheadMs, words) => {
  expect(compareClocks(aheadMs).text).toContain(words);
  expect(compareClocks(aheadMs).warning !== undefined).toBe(Math.abs(aheadMs) > 5_000);
});

test.each([31_000, -3_600_000])(
  'a clock %i ms off fails, because the router refuses what is signed with it',
  (aheadMs) => {
    expect(() => compareClocks(aheadMs)).toThrow(/ahead|behind/);
  },
);
