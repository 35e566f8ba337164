import type { RelayTotals } from '../relay/index.ts';

/** What readiness is decided from; `null` of a part = it did not answer in time. */
export interface ReadinessFacts {
  readonly phase: 'starting' | 'running' | 'stopping';
  readonly storeAnswers: boolean;
  readonly relay: Pick<RelayTotals, 'legs' | 'budget'> | null;
  /** Of the main process: open descriptors and their limit; null where the system does not say. */
  readonly descriptors: { readonly open: number; readonly limit: number } | null;
}

/** Closed: they are label values. */
export const reasonCodes = ['starting', 'stopping', 'store', 'relay', 'legs', 'descriptors'] as const;
type ReasonCode = (typeof reasonCodes)[number];
export interface NotReady {
  readonly code: ReasonCode;
  /** For people; no names, no addresses. */
  readonly text: string;
}

/** Over this part of a budget the next burst would be refused. */
const nearlyFull = 0.95;

/** Why a router should be given no new work; empty when it should. Absence of an answer counts against it. */
export function reasonsNotReady(facts: ReadinessFacts): readonly NotReady[] {
  if (facts.phase === 'starting') return [{ code: 'starting', text: 'the router is starting' }];
  if (facts.phase === 'stopping') return [{ code: 'stopping', text: 'the router stops' }];
  const reasons: NotReady[] = [];
  if (!facts.storeAnswers) reasons.push({ code: 'store', text: 'the store does not answer' });
  if (facts.relay === null) reasons.push({ code: 'relay', text: 'the relay process does not answer' });
  else if (facts.relay.legs >= nearlyFull * facts.relay.budget.legs) {
    const { legs, budget } = facts.relay;
    reasons.push({ code: 'legs', text: `the relay holds ${legs} legs of at most ${budget.legs}` });
  }
  const { descriptors } = facts;
  if (descriptors !== null && descriptors.open >= nearlyFull * descriptors.limit) {
    const text = `${descriptors.open} of ${descriptors.limit} file descriptors are in use`;
    reasons.push({ code: 'descriptors', text });
  }
  return reasons;
}
