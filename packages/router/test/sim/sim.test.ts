import { expect, test } from 'vitest';
import { faults } from './faults.ts';
import { simulate } from './simulation.ts';

/** The short form; `npm run test:sim` is the long one. SALLYPORT_SEED begins elsewhere. */
const hourMs = 3_600_000;
const first = Number(process.env['SALLYPORT_SEED'] ?? Date.now() % 1_000_000_000);
const seeds = Array.from({ length: 40 }, (_, i) => first + i);

test(`40 pool-hours of deaths, pauses, kills, resizes, drains and a slow store break nothing (first seed ${first})`, () => {
  for (const seed of seeds)
    expect(simulate(seed, { ms: hourMs, leavings: true })).toMatchObject({ seed, broken: null });
});

test.each(faults.filter((fault) => fault !== 'none'))('the planted fault %s is found', (fault) => {
  const found = seeds.find((seed) => simulate(seed, { ms: hourMs, fault, leavings: true }).broken !== null);
  expect(found).toBeDefined();
});

test('the same seed gives the same run, word for word', () => {
  const run = (): string[] => {
    const lines: string[] = [];
    simulate(first, { ms: hourMs / 4, trace: (line) => void lines.push(line) });
    return lines;
  };
  const lines = run();
  expect(lines.length).toBeGreaterThan(10);
  expect(run()).toEqual(lines);
});

test('a tick that looks at nothing would have found nothing', () => {
  const run = (seed: number, lookAlways: boolean): string[] => {
    const lines: string[] = [];
    simulate(seed, { ms: hourMs / 2, leavings: true, lookAlways, trace: (line) => void lines.push(line) });
    return lines;
  };
  for (const seed of seeds.slice(0, 10)) expect(run(seed, false)).toEqual(run(seed, true));
});

test('the decisions over rows in memory and the transactions on SQL give the same run', () => {
  for (const seed of seeds.slice(0, 5)) {
    const options = { ms: hourMs / 2, leavings: true } as const;
    expect(simulate(seed, { ...options, backend: 'sql' })).toEqual(simulate(seed, options));
  }
});

test.each([2, 1071, 20151])('seed %i, which found a race once, breaks nothing', (seed) => {
  expect(simulate(seed, { ms: hourMs, backend: 'sql' }).broken).toBeNull();
});
