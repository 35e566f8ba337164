import fc from 'fast-check';
import { expect, test } from 'vitest';
import { instanceFaults, isRouterFault, makeSchedule, poolFaults, routerFaults } from './schedule.ts';

const kinds = [...instanceFaults, ...poolFaults, ...routerFaults];
const wishes = fc.record({
  seed: fc.nat(),
  ms: fc.integer({ min: 1_000, max: 300_000 }),
  instances: fc.integer({ min: 1, max: 9 }),
  kinds: fc.subarray(kinds, { minLength: 1 }),
});

test('the same seed gives the same schedule', () => {
  fc.assert(
    fc.property(wishes, (wish) => {
      expect(makeSchedule(wish)).toEqual(makeSchedule({ ...wish }));
    }),
  );
});

test('faults end before the run does, only permitted kinds are used, and always one instance is left in peace', () => {
  fc.assert(
    fc.property(wishes, (wish) => {
      const faults = makeSchedule(wish);
      for (const fault of faults) {
        expect(fault.atMs + fault.forMs).toBeLessThanOrEqual(wish.ms);
        expect(wish.kinds).toContain(fault.kind);
        expect(fault.place === null).toBe(fault.kind === 'surplus' || isRouterFault(fault.kind));
        const with_ = faults.filter((one) => one.atMs <= fault.atMs && one.atMs + one.forMs > fault.atMs);
        const places = with_.flatMap(({ place }) => (place === null ? [] : [place]));
        expect(new Set(places).size).toBe(places.length);
        const surplus = with_.filter(({ kind }) => kind === 'surplus').length;
        expect(surplus).toBeLessThanOrEqual(1);
        expect(places.length + surplus).toBeLessThanOrEqual(Math.max(1, Math.floor(wish.instances / 2)));
        expect(with_.filter(({ kind }) => isRouterFault(kind)).length).toBeLessThanOrEqual(1);
      }
    }),
  );
});

test('ten minutes of all kinds have every kind in them', () => {
  const faults = makeSchedule({ seed: 1, ms: 600_000, instances: 5, kinds });
  expect(new Set(faults.map(({ kind }) => kind))).toEqual(new Set(kinds));
});
