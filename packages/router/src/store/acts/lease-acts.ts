import { gatewayUidSchema, instanceIdSchema, type JobId } from '@sallyport/protocol';
import type { RotationStore } from '../../rotation/index.ts';
import { type Act, type ActsOf, all, first, type Queries, run } from '../act.ts';
import { incarnationUnit, readIncarnation } from '../migrations.ts';
import { isRunning } from './job-states.ts';
import { addEntry, lockAccount, lockJob, saveJob } from './job-rows.ts';

type LeaseMethods = 'renewLease' | 'releaseLease' | 'listHeldLeases' | 'giveLeaseAway';

/**
 * Jobs of a lease that is over may be claimed again, from their stored step. Their accounts are locked first, as in
 * every transaction that writes both.
 */
function* freeJobs(q: Queries, instance: string, lease: number, nowMs: number): Act<JobId[]> {
  const held = yield* all(
    q.db
      .selectFrom('job')
      .select(['id', 'account'])
      .where('instance', '=', instance)
      .where('state', '=', isRunning)
      .orderBy('account')
      .orderBy('id'),
  );
  const freed: JobId[] = [];
  for (const { id, account } of held) {
    if (account !== null) yield* lockAccount(q, account);
    const job = yield* lockJob(q, id);
    if (job?.state !== 'running' || job.holder?.instance !== instance || job.holder.lease > lease) continue;
    const queued = { ...job, state: 'queued', why: 'none', holder: null, notBeforeMs: nowMs } as const;
    yield* saveJob(q, job, queued);
    yield* addEntry(q, job, { what: 'freed', instance: job.holder.instance, nowMs });
    freed.push(job.id);
  }
  return freed;
}

export const leaseActs: Pick<ActsOf<RotationStore>, LeaseMethods> = {
  *renewLease(q, input) {
    const { instance, gateway, lease, after } = input;
    if (lease !== null) {
      const renewed = yield* run(
        q.db
          .updateTable('work_lease')
          .set((of) => ({ renewals: of('renewals', '+', 1) }))
          .where('instance', '=', instance)
          .where('lease', '=', lease)
          .where('state', '=', 'held'),
      );
      return renewed === 1 ? { lease } : { lost: true };
    }
    // An answer that was lost, or a question that comes late: what was given since is not taken away by it.
    const given = yield* first(
      q.db
        .updateTable('work_lease')
        .set((of) => ({ renewals: of('renewals', '+', 1) }))
        .where('instance', '=', instance)
        .where('lease', '>', after)
        .where('state', '=', 'held')
        .returning('lease'),
    );
    if (given !== undefined) return given;
    const begin = (yield* readIncarnation(q)) * incarnationUnit + 1;
    const row = yield* first(
      q.db
        .insertInto('work_lease')
        .values({ instance, gateway, lease: begin, renewals: 0, state: 'held' })
        .onConflict((on) =>
          on
            .column('instance')
            .doUpdateSet((of) => ({ gateway, lease: of('work_lease.lease', '+', 1), renewals: 0, state: 'held' })),
        )
        .returning('lease'),
    );
    const fresh = row?.lease ?? begin;
    // Who asks for a new one says that nothing runs under the one before.
    yield* freeJobs(q, instance, fresh - 1, input.nowMs);
    return { lease: fresh };
  },

  *releaseLease(q, input) {
    let query = q.db.updateTable('work_lease').set({ state: 'released' }).where('instance', '=', input.instance);
    if (input.lease !== null) query = query.where('lease', '=', input.lease);
    const row = yield* first(query.where('state', '=', 'held').returning('lease'));
    return row === undefined ? [] : yield* freeJobs(q, input.instance, row.lease, input.nowMs);
  },

  *listHeldLeases(q) {
    const rows = yield* all(
      q.db
        .selectFrom('work_lease')
        .select(['instance', 'gateway', 'lease', 'renewals'])
        .where('state', '=', 'held')
        .where('instance', 'in', (of) => of.selectFrom('job').select('job.instance').where('job.state', '=', isRunning))
        .orderBy('instance'),
    );
    return rows.map((row) => ({
      instance: instanceIdSchema.parse(row.instance),
      gateway: gatewayUidSchema.parse(row.gateway),
      lease: row.lease,
      renewals: row.renewals,
    }));
  },

  *giveLeaseAway(q, input) {
    const taken = yield* run(
      q.db
        .updateTable('work_lease')
        .set({ state: 'given' })
        .where('instance', '=', input.instance)
        .where('lease', '=', input.lease)
        .where('renewals', '=', input.renewals)
        .where('state', '=', 'held'),
    );
    return taken === 0 ? [] : yield* freeJobs(q, input.instance, input.lease, input.nowMs);
  },
};
