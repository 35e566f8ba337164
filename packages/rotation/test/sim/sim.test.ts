import { expect, test } from 'vitest';
import { mutants } from '../model/scopes.ts';
import { faults, findFault, onlyInTheModel } from './faults.ts';
import { simulate } from './simulation.ts';

// The whole of it is `npm run test:sim`; SALLYPORT_SEED begins elsewhere.
const first = Number(process.env['SALLYPORT_SEED'] ?? 1);
const seeds = 200;

test(`${seeds} schedules of losses, pauses, deaths, late writes and edits break nothing (first seed ${first})`, () => {
  for (let seed = first; seed < first + seeds; seed += 1) expect(simulate(seed)).toMatchObject({ seed, broken: null });
});

test('the same seed gives the same run, word for word', () => {
  const run = (): string[] => {
    const lines: string[] = [];
    simulate(first, { trace: (line) => void lines.push(line) });
    return lines;
  };
  expect(run().length).toBeGreaterThan(10);
  expect(run()).toEqual(run());
});

test.each([/a run that may have written ends as failed/, /a permit does not count up/])(
  'the planted fault is found: %s',
  (name) => {
    const fault = faults.find((one) => name.test(one.name));
    expect(findFault(fault?.options ?? {}, 1, 100)).not.toBeNull();
  },
);

test('one turned rule of the model is left out of the simulation, by a name that the model has', () => {
  expect(mutants.map(({ name }) => name)).toContain(onlyInTheModel);
  expect(faults.map(({ name }) => name)).not.toContain(onlyInTheModel);
});
