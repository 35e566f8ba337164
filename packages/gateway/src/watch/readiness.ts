import { errorCatalog } from '@sallyport/protocol';
import type { AgentStatus } from '../agent/index.ts';

/** Closed: they are label values. */
export const reasonCodes = ['standby', 'link', 'cordoned', 'stopping'] as const;
export interface NotReady {
  readonly code: (typeof reasonCodes)[number];
  /** For people; no names, no addresses. */
  readonly text: string;
}

/**
 * Why an instance would be given no new work; empty when it would.
 *
 * @param intent - what an operator or a signal wants of this instance.
 * @param standbyIsOk - a standby counts as ready: for whoever replaces instances one by one and waits for each.
 */
export function reasonsNotReady(
  status: Pick<AgentStatus, 'ready' | 'membership' | 'code' | 'sinceMs'>,
  intent: 'serve' | 'cordoned' | 'stopping',
  standbyIsOk: boolean,
): readonly NotReady[] {
  if (intent === 'stopping') return [{ code: 'stopping', text: 'the instance stops: running streams may end' }];
  if (!status.ready) {
    const since = new Date(status.sinceMs).toISOString();
    const why = status.code === null ? '' : ` (${status.code}: ${errorCatalog[status.code].meaning})`;
    return [{ code: 'link', text: `the link to the router is away since ${since}${why}` }];
  }
  if (intent === 'cordoned') return [{ code: 'cordoned', text: 'the instance is cordoned: it takes nothing new' }];
  if (status.membership?.kind !== 'standby' || standbyIsOk) return [];
  return [{ code: 'standby', text: status.membership.reason }];
}
