import { type FollowUp, PamError, toWireError } from '@sallyport/protocol';
import type { NewJob, RotationStore, StartedJob } from '../../rotation/index.ts';
import { type Act, type ActsOf, all, first, type Queries, run } from '../act.ts';
import { auditActs } from './audit-acts.ts';
import { addEntry, lockJob, toJob } from './job-rows.ts';
import { openJobs } from './job-states.ts';

/** What a rotation repairs by itself; everything else waits for a decision. */
const repairable: readonly string[] = ['drift'];

/** Why the record's account needs a decision first; null when it does not. */
export function* attentionOf(q: Queries, record: string, repairs = repairable): Act<string | null> {
  const rows = yield* all(
    q.db.selectFrom('account').select('attention').where('record', '=', record).where('attention', 'is not', null),
  );
  return rows.find((row) => !repairs.includes(row.attention ?? ''))?.attention ?? null;
}

/** Stores a job that begins at `notBeforeMs`; false when the record has an open one, or this occurrence had its job. */
export function* insertJob(
  q: Queries,
  job: {
    readonly id: string;
    readonly kind: string;
    readonly record: string;
    readonly app: string;
    readonly gateway: string;
    readonly order: string | null;
    readonly person: string | null;
    readonly dueAtMs: number | null;
    readonly notBeforeMs: number;
    readonly nowMs: number;
    readonly followUps?: readonly FollowUp[];
    readonly ended?: { readonly state: 'failed'; readonly why: string };
  },
): Act<boolean> {
  const added = yield* run(
    q.db
      .insertInto('job')
      .values({
        id: job.id,
        kind: job.kind,
        record: job.record,
        app: job.app,
        gateway: job.gateway,
        account: null,
        server: null,
        state: job.ended?.state ?? 'queued',
        step: 'new',
        why: job.ended?.why ?? 'none',
        signed_order: job.order,
        person: job.person,
        due_ms: job.dueAtMs,
        instance: null,
        lease: null,
        epoch: null,
        attempts: 0,
        base: null,
        candidate: null,
        rejections: 0,
        sends: '[]',
        address: null,
        not_before_ms: job.notBeforeMs,
        cancel_asked: 0,
        follow_ups: JSON.stringify(job.followUps ?? []),
        instances: '[]',
        created_ms: job.nowMs,
        started_ms: null,
        ended_ms: job.ended === undefined ? null : job.nowMs,
      })
      .onConflict((on) => on.doNothing()),
  );
  return added === 1;
}

/**
 * What the record's last run already did for revision `rev` of its secrets. Nothing when that run was for another one, or
 * did not come so far.
 */
function* doneBefore(q: Queries, record: string, rev: number): Act<readonly FollowUp[]> {
  const tuple = yield* first(
    q.db
      .selectFrom('job')
      .selectAll()
      .where('record', '=', record)
      .where('kind', 'in', ['rotate', 'after'])
      .where('follow_ups', '<>', '[]')
      .orderBy('created_ms', 'desc')
      .orderBy('id', 'desc')
      .limit(1),
  );
  if (tuple === undefined) return [];
  const last = toJob(tuple);
  const became = (last.base ?? 0) + (last.candidate === null ? 0 : 1);
  return became === rev ? last.followUps.filter(({ state }) => state === 'done') : [];
}

function* openJobOf(q: Queries, record: string): Act<string | null> {
  const row = yield* first(
    q.db.selectFrom('job').select('id').where('record', '=', record).where('state', 'in', openJobs),
  );
  return row?.id ?? null;
}

const withRefused = (body: string, refused: readonly string[]): string =>
  refused.length === 0 ? body : JSON.stringify({ ...(JSON.parse(body) as object), refused });

/** Nothing is written for one that is refused. */
function* startJob(q: Queries, order: NewJob): Act<StartedJob> {
  const { job: id, kind, record, nowMs } = order;
  const refuse = (...of: ConstructorParameters<typeof PamError>): StartedJob => ({
    error: toWireError(new PamError(...of)),
  });
  const known = yield* lockJob(q, id);
  if (known !== null) {
    if (known.record === record && known.kind === kind && known.order === order.order) return { job: known };
    return refuse('PAM_CONFLICT', `the id ${id} is another job's`, { detail: { job: id } });
  }
  const repairs = kind === 'rotate' ? repairable : [];
  const why = kind === 'rotate' || kind === 'after' ? yield* attentionOf(q, record, repairs) : null;
  if (why !== null) {
    const problem = `the account of ${record} needs a decision first: ${why}`;
    return refuse('PAM_ROTATION_ATTENTION', problem, { detail: { record, why } });
  }
  const followUps = order.carryFrom === null ? [] : yield* doneBefore(q, record, order.carryFrom);
  if (!(yield* insertJob(q, { ...order, id, dueAtMs: null, notBeforeMs: nowMs, followUps }))) {
    const open = (yield* openJobOf(q, record)) ?? '';
    const problem = `the record ${record} has a job that is not ended`;
    return refuse('PAM_JOB_BUSY', problem, { detail: { record, job: open } });
  }
  const stored = yield* lockJob(q, id);
  if (stored === null) throw new PamError('PAM_INTERNAL', 'a job was stored and is not there');
  yield* addEntry(q, stored, { what: 'ordered', instance: null, nowMs });
  return { job: stored };
}

export const orderActs: Pick<ActsOf<RotationStore>, 'startJobs'> = {
  *startJobs(q, input) {
    const results = new Map<NewJob, StartedJob>();
    // By record: two callers that order the same ones wait for each other in one direction only.
    for (const order of input.orders.toSorted((a, b) => (a.record < b.record ? -1 : 1))) {
      results.set(order, yield* startJob(q, order));
    }
    const refused = input.orders.filter((order) => 'error' in (results.get(order) ?? {})).map(({ job }) => job);
    const events = input.told.events.map((event) => ({ ...event, body: withRefused(event.body, refused) }));
    const head = yield* auditActs.appendEvents(q, { ...input.told, events });
    return { results: input.orders.flatMap((order) => results.get(order) ?? []), head };
  },
};
