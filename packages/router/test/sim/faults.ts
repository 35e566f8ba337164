import type { PoolRules } from '../../src/pool/rules.ts';
import { productionRules } from '../../src/pool/rules.ts';

/** The mistakes that the simulation must find: five of admission and turns, two of targets, one of the store's answers. `none` is production. */
export const faults = [
  'none',
  'index-cursor',
  'lost-cordon',
  'count-before-lock',
  'sweep-after-pause',
  'uncommitted-link',
  'eject-at-once',
  'ejected-excluded',
  'gap-unnoticed',
] as const;
export type Fault = (typeof faults)[number];

/** Production rules with one of them replaced; the two faults of the store are planted in `simulated-store.ts`. */
export function rulesWith(fault: Fault): PoolRules {
  switch (fault) {
    case 'index-cursor':
      return { ...productionRules, nextTurn: indexCursor() };
    case 'sweep-after-pause':
      return { ...productionRules, runningMs: (gapMs) => gapMs };
    case 'uncommitted-link':
      return { ...productionRules, dispatchLink: anyLink };
    case 'eject-at-once':
      return { ...productionRules, isDifferential: () => true };
    case 'ejected-excluded':
      return { ...productionRules, classOf: excludeEjected };
    case 'gap-unnoticed':
      return { ...productionRules, follows: () => true };
    case 'none':
    case 'lost-cordon':
    case 'count-before-lock':
      return productionRules;
    default:
      return fault satisfies never;
  }
}

/** The cursor is a place in the list, so that everybody moves when one leaves (F16). */
function indexCursor(): PoolRules['nextTurn'] {
  let index = -1;
  return (candidates) => {
    const well = candidates.filter((candidate) => candidate.class !== null);
    if (well.length === 0) return null;
    index = (index + 1) % well.length;
    return well[index] ?? null;
  };
}

/** Ejected means never (F12): the last instance that could be asked is not. */
const excludeEjected: PoolRules['classOf'] = (state, pool, member, request) => {
  const classed = productionRules.classOf(state, pool, member, request);
  return classed.note?.startsWith('ejected: could not') === true ? { ...classed, class: null } : classed;
};

/** Dispatches as soon as the instance said hello, while the store still decides whether its slot is its own (F5). */
const anyLink: PoolRules['dispatchLink'] = (pool, member) => {
  if (member.link !== null) return member.link.id;
  for (const joining of pool.joining.values()) {
    if (joining.hello.instance === member.row.instance && !joining.closed) return joining.hello.link;
  }
  return null;
};
