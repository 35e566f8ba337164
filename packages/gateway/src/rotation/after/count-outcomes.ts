import type { AfterCounts } from '@sallyport/protocol';
import type { AfterOutcome } from './script-end.ts';

type Told = readonly { readonly result: AfterOutcome }[];

/** Numbers for the router, which learns no name and no word of an output; null: there was nothing to do. */
export function countOutcomes(scripts: Told, services: Told): AfterCounts | null {
  if (scripts.length + services.length === 0) return null;
  return { scripts: count(scripts), services: count(services) };
}

function count(told: Told): AfterCounts['scripts'] {
  const of = (wanted: AfterOutcome): number => told.filter(({ result }) => result === wanted).length;
  return { done: of('done'), failed: of('failed'), unknown: of('unknown'), skipped: of('skipped') };
}
