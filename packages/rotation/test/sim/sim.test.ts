import { expect, test } from 'vitest';
import { faults, findFault } from './faults.ts';
import { simulate } from './simulation.ts';

// The long form is `npm run test:sim`; SALLYPORT_SEED begins elsewhere.
const first = Number(process.env['SALLYPORT_SEED'] ?? 1);

test(`2,000 schedules of losses, pauses, deaths, late writes and edits break nothing (first seed ${first})`, () => {
  for (let seed = first; seed < first + 2_000; seed += 1) expect(simulate(seed)).toMatchObject({ seed, broken: null });
}, 600_000);

test('the same seed gives the same run, word for word', () => {
  const run = (): string[] => {
    const lines: string[] = [];
    simulate(first, { trace: (line) => void lines.push(line) });
    return lines;
  };
  expect(run().length).toBeGreaterThan(10);
  expect(run()).toEqual(run());
});

test.each(faults)(
  'the planted fault is found: $name',
  ({ options }) => {
    expect(findFault(options, 1, 2_000)).not.toBeNull();
  },
  600_000,
);
