import { errorCatalog } from '@sallyport/protocol';
import type { AgentStatus } from '../agent/index.ts';

/** Closed: they are label values. */
export const reasonCodes = ['standby', 'link', 'stopping'] as const;
export interface NotReady {
  readonly code: (typeof reasonCodes)[number];
  /** For people; no names, no addresses. */
  readonly text: string;
}

/**
 * Why an instance would be given no new work; empty when it would.
 *
 * @param standbyIsOk - a standby counts as ready: for whoever replaces instances one by one and waits for each.
 */
export function reasonsNotReady(
  status: Pick<AgentStatus, 'ready' | 'membership' | 'code' | 'sinceMs'>,
  isStopping: boolean,
  standbyIsOk: boolean,
): readonly NotReady[] {
  if (isStopping) return [{ code: 'stopping', text: 'the instance stops: running streams may end' }];
  if (!status.ready) {
    const since = new Date(status.sinceMs).toISOString();
    const why = status.code === null ? '' : ` (${status.code}: ${errorCatalog[status.code].meaning})`;
    return [{ code: 'link', text: `the link to the router is away since ${since}${why}` }];
  }
  if (status.membership?.kind !== 'standby' || standbyIsOk) return [];
  return [{ code: 'standby', text: status.membership.reason }];
}
