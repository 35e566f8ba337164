import { expect, test } from 'vitest';
import { explore } from './explore.ts';
import { bounds, catchMutant, models, mutants } from './scopes.ts';

// The whole of it is `npm run test:model`.
for (const { name, model } of models) {
  test(`${name}: within small bounds nothing breaks, and every world was visited`, () => {
    for (const left of [bounds.candidates, bounds.sleepers]) {
      const found = explore(model, left, 200_000);
      expect(found.broken).toBeNull();
      expect(found.isComplete).toBe(true);
      expect(found.states).toBeGreaterThan(400);
    }
  });
}

for (const { name, model } of mutants) {
  test(`a turned rule is caught: ${name}`, () => expect(catchMutant(model, 100_000)).not.toBeNull());
}
