import { type ApplicationUid, type InstanceId, type JobHandlers, PamError } from '@sallyport/protocol';
import type { AuditTrail } from '../audit/index.ts';
import type { Clock } from '../clock.ts';
import { checkPlace } from '../vault/index.ts';
import type { RotationStore } from './rotation-store.ts';

interface JournalDeps {
  readonly store: Pick<RotationStore, 'compareJournal' | 'recoverVersion'>;
  readonly audit: AuditTrail;
  readonly clock: Clock;
  /** Of this router, Unix ms. */
  readonly start: number;
}

/**
 * Candidates that instances kept and a restored store lost. What comes back becomes a version that nothing points to;
 * whoever opens it checks that it was ordered (ADR 0015), so an instance can plant none, and neither can this router.
 */
export function journalHandlers(
  deps: JournalDeps,
  member: () => { readonly instance: InstanceId; readonly app: string },
): Pick<JobHandlers<'router'>, 'journal.compare' | 'journal.recover'> {
  const { store, audit, clock, start } = deps;
  return {
    'journal.compare': async ({ entries }) => {
      const { instance, app } = member();
      if (entries.length === 0) return { start, wanted: [] };
      const { wanted, distrusted } = await store.compareJournal({ entries, instance, app, nowMs: clock.nowMs() });
      for (const record of distrusted) audit.later('rotation.distrusted', { record, instance });
      return { start, wanted: [...wanted] };
    },
    'journal.recover': async (params) => {
      const { instance, app } = member();
      const { record, gen, rev, envelope } = params;
      checkPlace({ app: app as ApplicationUid, uid: record, type: 'pamUser' }, 'secrets', { gen, rev, envelope });
      const answer = await store.recoverVersion({ ...params, instance, app, nowMs: clock.nowMs() });
      if ('refused' in answer) throw new PamError(answer.refused, answer.why);
      const { version } = answer;
      if (version !== null) audit.later('rotation.recovered', { record, instance, version });
      return {};
    },
  };
}
