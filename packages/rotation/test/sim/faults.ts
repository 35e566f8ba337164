import { mutants } from '../model/scopes.ts';
import { type SimulationOptions, simulate } from './simulation.ts';

/**
 * Who lost a job asks for no permit: his lease is over before the fence, by his own clock. Only a walk of the model, which has
 * no clocks, lets him (`npm run test:model` finds it); 8,000 seeds did not.
 */
export const onlyInTheModel = 'number: a permit for an older epoch';

/** One rule turned each: those of the model that chance finds soon, and those that need times. */
export const faults: readonly { readonly name: string; readonly options: SimulationOptions }[] = [
  ...mutants
    .filter(({ name, model }) => name !== onlyInTheModel && (model.fence === 'number' || model.fence === 'compare'))
    .map(({ name, model: { fence, rules } }) => ({ name, options: { fence, rules } })),
  { name: 'logins are not bought', options: { noBudget: true } },
  { name: 'a lease is over before its holder stops', options: { leaseMs: 4_000 } },
];

/** The first of `most` seeds from `first` on that finds it, and how; null: none does. */
export function findFault(options: SimulationOptions, first: number, most: number): string | null {
  for (let seed = first; seed < first + most; seed += 1) {
    const { broken } = simulate(seed, options);
    if (broken !== null) return `${broken}, seed ${seed}`;
  }
  return null;
}
