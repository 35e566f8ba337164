import { createCleanup, requireNetworkLab, requireTarget } from '@sallyport/testkit';
import { afterAll, expect, test, vi } from 'vitest';
import { patience } from '../harness/until.ts';
import { runChaos } from './run-chaos.ts';

vi.setConfig(patience);

const isMissing = [requireNetworkLab(), requireTarget('postgres'), requireTarget('psql'), requireTarget('curl')].some(
  (one) => one.isMissing,
);
const cleanup = createCleanup();
afterAll(() => cleanup.run());

/** The short form of `npm run chaos`; SALLYPORT_SEED tries another. */
const seed = Number(process.env['SALLYPORT_SEED'] ?? 20_261_125);

test.skipIf(isMissing)(`12 s of faults at random break nothing that they do not explain (seed ${seed})`, async () => {
  const lines: string[] = [];
  const { run, violations } = await runChaos(cleanup.later, {
    ...{ seed, ms: 12_000, instances: 3 },
    say: (line) => void lines.push(line),
  });
  if (violations.length > 0) console.error(lines.join('\n'));
  expect(violations).toEqual([]);
  expect(run.faults.length).toBeGreaterThan(2);
  expect(run.streams.length).toBeGreaterThan(4);
});
