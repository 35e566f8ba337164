import {
  type Item,
  applicationUidSchema,
  gatewayUidSchema,
  itemUidSchema,
  jobIdSchema,
  jobKindSchema,
  jobWhySchema,
} from '@sallyport/protocol';
import { isOpen } from '@sallyport/rotation';
import type { RotationStore } from '../../rotation/index.ts';
import { type Act, type ActsOf, all, first, prepared, type Queries, run } from '../act.ts';
import { auditActs } from './audit-acts.ts';
import { addEntry, addNote, lockAccount, lockJob, saveJob } from './job-rows.ts';
import { waitingJobs } from './job-states.ts';
import { planRetirement } from './retire-acts.ts';
import { settleTrouble } from './trouble-acts.ts';
import { allParts, liveItems, readItems } from './vault-acts.ts';

/** Items that an offer carries at most. */
const offerItems = 96;

const linkedTo = prepared((db, of: { target: string; most: number }) =>
  db.selectFrom('item_link').select('item').where('target', '=', of.target).orderBy('item').limit(of.most),
);

/** Items that an offer has not yet, as many as it has room for. */
function* readMore(q: Queries, uids: readonly string[], have: Set<string>): Act<Item[]> {
  const rest = [...new Set(uids)].filter((uid) => !have.has(uid)).slice(0, Math.max(0, offerItems - have.size));
  for (const uid of rest) have.add(uid);
  return yield* readItems(q, yield* liveItems(q, rest), allParts);
}

const gatewaysWaiting = prepared((db, of: { nowMs: number }) =>
  db
    .selectFrom('job')
    .select('gateway')
    .distinct()
    .where('state', 'in', waitingJobs)
    .where('not_before_ms', '<=', of.nowMs)
    .orderBy('gateway'),
);
const waitingAt = prepared((db, of: { gateway: string; nowMs: number; each: number }) =>
  db
    .selectFrom('job')
    .select(['id', 'kind', 'record', 'app', 'gateway', 'signed_order', 'due_ms', 'why'])
    .where('gateway', '=', of.gateway)
    .where('state', 'in', waitingJobs)
    .where('not_before_ms', '<=', of.nowMs)
    .orderBy('not_before_ms')
    .orderBy('id')
    .limit(of.each),
);

export const offerActs: Pick<ActsOf<RotationStore>, 'listOffered' | 'noteNoInstance' | 'denyJob' | 'readOfferItems'> = {
  *listOffered(q, input) {
    const { gateway: only, nowMs, each } = input;
    const gateways = only === null ? yield* all(gatewaysWaiting(q, { nowMs })) : [{ gateway: only }];
    const offered: Awaited<ReturnType<RotationStore['listOffered']>>[number][] = [];
    for (const { gateway } of gateways) {
      for (const row of yield* all(waitingAt(q, { gateway, nowMs, each }))) {
        offered.push({
          job: jobIdSchema.parse(row.id),
          kind: jobKindSchema.parse(row.kind),
          record: itemUidSchema.parse(row.record),
          app: applicationUidSchema.parse(row.app),
          gateway: gatewayUidSchema.parse(row.gateway),
          order: row.signed_order,
          dueAtMs: row.due_ms,
          why: jobWhySchema.parse(row.why),
        });
      }
    }
    return offered;
  },

  *noteNoInstance(q, input) {
    if (input.jobs.length === 0) return;
    yield* run(
      q.db
        .updateTable('job')
        .set({ state: 'waiting', why: 'no-instance' })
        .where('id', 'in', [...input.jobs])
        .where('state', 'in', waitingJobs),
    );
  },

  *denyJob(q, input) {
    const known = yield* first(q.db.selectFrom('job').select('account').where('id', '=', input.job));
    if (typeof known?.account === 'string') yield* lockAccount(q, known.account);
    const job = yield* lockJob(q, input.job);
    if (job === null || !isOpen(job) || job.holder !== null) return { denied: false, head: null };
    if (job.account !== null) {
      yield* run(
        q.db.updateTable('account').set({ job: null }).where('account', '=', job.account).where('job', '=', job.id),
      );
    }
    // Something may have been written to the target already: then nobody but a person may call it over.
    const wrote = job.sends.length > 0 && job.step !== 'promoted' && job.step !== 'done';
    const ended = {
      ...job,
      state: wrote ? 'attention' : 'failed',
      why: input.why,
      endedAtMs: input.nowMs,
    } as const;
    if (wrote && job.account !== null) {
      yield* run(q.db.updateTable('account').set({ attention: input.why }).where('account', '=', job.account));
    }
    yield* saveJob(q, job, ended);
    yield* planRetirement(q, job, input.nowMs);
    yield* settleTrouble(q, ended, input.nowMs);
    yield* addEntry(q, job, { what: 'denied', instance: input.instance, nowMs: input.nowMs });
    yield* addNote(q, job.id, input.note);
    return { denied: true, head: yield* auditActs.appendEvents(q, input.told) };
  },

  *readOfferItems(q, input) {
    const [record] = yield* readItems(q, yield* liveItems(q, [input.record]), allParts);
    if (record === undefined) return [];
    const linked = yield* all(linkedTo(q, { target: input.record, most: offerItems }));
    const named = record.mirror.rotation?.resource ?? null;
    const resources = [...new Set([...(named === null ? [] : [named]), ...linked.map((row) => row.item)])];
    const first_ = yield* readItems(q, yield* liveItems(q, resources), allParts);
    const uids = [record, ...first_].flatMap(({ mirror }) => [
      ...(mirror.configuration === null ? [] : [mirror.configuration]),
      ...mirror.credentials,
    ]);
    const have = new Set<string>([record.uid, ...first_.map((item) => item.uid)]);
    const others = yield* readMore(q, uids, have);
    // A machine that a script or service runs on, and nothing else links to it: who logs in there comes along.
    const machines = others.filter(({ type }) => type === 'pamMachine');
    const logins = yield* readMore(
      q,
      machines.flatMap(({ mirror }) => mirror.credentials),
      have,
    );
    return [record, ...first_, ...others, ...logins].filter((item) => item.app === record.app).slice(0, offerItems);
  },
};
