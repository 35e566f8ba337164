import type { RetireOutcome, RunEvent } from '@sallyport/rotation';
import type { JsonValue } from '@sallyport/seal';
import type { Versions } from '../versions.ts';
import { type Acting, loginWithinMs } from './acting.ts';
import type { HeldJob, RunJobDeps } from './job-deps.ts';
import type { JobNotes } from './job-notes.ts';
import type { TargetSession } from './target-session.ts';

interface SettleParts {
  readonly acting: Acting;
  readonly session: TargetSession;
  readonly notes: JobNotes;
}

/** Do the replicas show the change that made `version` the account's secret? */
export function askReplicas(
  { opened }: HeldJob,
  version: number,
  { acting, session, notes }: SettleParts,
  deps: Pick<RunJobDeps, 'runtime'>,
): Promise<RunEvent> {
  const startedMs = deps.runtime.monotonicMs();
  return acting.act(async () => {
    const reconnected = await session.reconnected(version);
    const using = typeof reconnected === 'string' ? null : reconnected;
    const agreed: JsonValue[] = [];
    let all = true;
    for (const replica of opened.settings.replicas) {
      const agrees = await acting
        .within(loginWithinMs, async (limit) => using?.agrees?.(replica, opened.account, limit) ?? false)
        .catch(async () => {
          // Our own session is lost, perhaps: the next look has another.
          await session.close();
          return false;
        });
      all &&= agrees;
      agreed.push({ ...replica, agrees, ms: Math.round(deps.runtime.monotonicMs() - startedMs) });
    }
    notes.keep('replicas', agreed);
    return { type: 'agreed', all };
  });
}

/** Removes what earlier rotations left beside `version` (fence `additive`). */
export function retireOlder(
  { opened }: HeldJob,
  version: number,
  { acting, session, notes, versions }: SettleParts & { readonly versions: Versions },
): Promise<RunEvent> {
  return acting.act(async () => {
    const using = await session.reconnected(version);
    if (typeof using === 'string') return { type: 'not-connected', answer: using };
    const keep = await versions.credential(version);
    const outcome = await acting
      .within(loginWithinMs, async (limit) => using.retire?.(opened.account, keep, limit) ?? noWay)
      .catch(async (reason: unknown) => {
        notes.say('retire', String(reason));
        await session.close();
        return null;
      });
    if (outcome === null) return { type: 'not-connected', answer: 'unreachable' };
    if (outcome.kind === 'denied') {
      notes.say('retire', outcome.message);
      return { type: 'not-connected', answer: 'refused' };
    }
    notes.keep('retired', outcome.removed);
    return { type: 'retired' };
  });
}

const noWay: RetireOutcome = { kind: 'denied', message: 'this kind has no way to remove what is older' };
