import {
  type GatewayUid,
  type ItemUid,
  itemUidSchema,
  type Mirror,
  mirrorSchema,
  PamError,
  type Schedule,
  scheduleMirrorSchema,
  scheduleSchema,
} from '@sallyport/protocol';
import { jitterMs, latestOccurrence, nextOccurrence } from '@sallyport/rotation';
import type { RotationStore } from '../../rotation/index.ts';
import { type Act, type ActsOf, all, first, type Queries, run } from '../act.ts';
import { attentionOf, insertJob } from './order-acts.ts';
import { addEntry, lockJob } from './job-rows.ts';
import { dropTrouble, settleTrouble } from './trouble-acts.ts';

type ScheduleMethods = 'listDue' | 'runSchedule' | 'runRecheck';

/** A re-check that finds its record at work comes again after this. */
const recheckAgainMs = 60_000;

const ruleSchema = scheduleMirrorSchema.extend({ schedule: scheduleSchema });

function readRule(text: string): Schedule {
  return ruleSchema.parse(JSON.parse(text)).schedule;
}

/**
 * Keeps the timer's row of a record beside its mirror. A rule that did not change keeps its next time.
 *
 * @throws PAM_BAD_REQUEST for a rule that has no meaning, such as a zone nobody knows.
 */
export function* keepSchedule(q: Queries, record: ItemUid, mirror: Mirror, nowMs: number): Act<void> {
  const wanted = mirror.rotation ?? null;
  // Nothing is rotated any more that could be in trouble.
  if (wanted === null) yield* dropTrouble(q, record);
  const schedule = wanted?.schedule ?? null;
  if (wanted === null || schedule === null) {
    yield* dropSchedule(q, record);
    return;
  }
  const rule = JSON.stringify(wanted);
  const known = yield* first(q.db.selectFrom('schedule').select(['rule', 'since_ms']).where('record', '=', record));
  const sinceMs = wanted.anchorMs ?? known?.since_ms ?? nowMs;
  if (known !== undefined && JSON.stringify(readRule(known.rule)) === JSON.stringify(schedule)) {
    if (known.rule === rule) return;
    if (known.since_ms === sinceMs) {
      yield* run(q.db.updateTable('schedule').set({ rule }).where('record', '=', record));
      return;
    }
  }
  const next = checkedNext(record, schedule, nowMs, sinceMs);
  const row = { rule, since_ms: sinceMs, next_ms: next };
  yield* run(
    q.db
      .insertInto('schedule')
      .values({ record, ...row })
      .onConflict((on) => on.column('record').doUpdateSet(row)),
  );
}

function checkedNext(record: ItemUid, schedule: Schedule, nowMs: number, anchorMs: number): number | null {
  try {
    return nextOccurrence(schedule, nowMs, anchorMs);
  } catch (reason) {
    throw PamError.from(reason, 'PAM_BAD_REQUEST', `the schedule of ${record} has no meaning`);
  }
}

export function* dropSchedule(q: Queries, record: string): Act<void> {
  yield* run(q.db.deleteFrom('schedule').where('record', '=', record));
}

function* mirrorOf(q: Queries, uid: string): Act<{ app: string; mirror: Mirror } | null> {
  const row = yield* first(
    q.db.selectFrom('item').select(['app', 'mirror']).where('uid', '=', uid).where('removed_ms', 'is', null),
  );
  return row === undefined ? null : { app: row.app, mirror: mirrorSchema.parse(JSON.parse(row.mirror)) };
}

/** Application and gateway of a record's rotation: of its resource's configuration, or its own. */
function* placeOf(q: Queries, record: string): Act<{ app: string; gateway: GatewayUid } | null> {
  const item = yield* mirrorOf(q, record);
  if (item === null) return null;
  const resource = item.mirror.rotation?.resource ?? null;
  const at = resource === null ? item : yield* mirrorOf(q, resource);
  const configuration = at?.mirror.configuration ?? null;
  const owner = configuration === null ? at : yield* mirrorOf(q, configuration);
  const gateway = owner?.mirror.gateway ?? null;
  return gateway === null ? null : { app: item.app, gateway };
}

export const scheduleActs: Pick<ActsOf<RotationStore>, ScheduleMethods> = {
  *listDue(q, input) {
    const schedules = yield* all(
      q.db
        .selectFrom('schedule')
        .select(['record', 'next_ms'])
        .where('next_ms', '<=', input.nowMs)
        .orderBy('next_ms')
        .orderBy('record')
        .limit(input.limit),
    );
    const rechecks = yield* all(
      q.db
        .selectFrom('recheck')
        .select('id')
        .where('due_ms', '<=', input.nowMs)
        .orderBy('due_ms')
        .orderBy('id')
        .limit(input.limit),
    );
    return {
      schedules: schedules.flatMap((row) =>
        row.next_ms === null ? [] : [{ record: itemUidSchema.parse(row.record), dueAtMs: row.next_ms }],
      ),
      rechecks: rechecks.map((row) => row.id),
    };
  },

  *runSchedule(q, input) {
    const { record, nowMs } = input;
    // The row is locked and compared at once: of two routers one moves it.
    const row = yield* first(
      q.db
        .updateTable('schedule')
        .set((of) => ({ since_ms: of('since_ms', '+', 0) }))
        .where('record', '=', record)
        .where('next_ms', '=', input.dueAtMs)
        .returningAll(),
    );
    if (row === undefined) return null;
    const rule = readRule(row.rule);
    const { dueAtMs, skipped } = latestOccurrence(rule, { fromMs: input.dueAtMs, nowMs, anchorMs: row.since_ms });
    const next = nextOccurrence(rule, dueAtMs, row.since_ms);
    yield* run(q.db.updateTable('schedule').set({ next_ms: next }).where('record', '=', record));
    const place = yield* placeOf(q, record);
    const missed = { record, kind: 'rotate', state: 'failed', why: 'missed', person: null, after: null } as const;
    if (place === null) {
      yield* settleTrouble(q, { ...missed, gateway: null }, nowMs);
      return { record, dueAtMs, job: null, skipped };
    }
    const notBeforeMs = Math.max(nowMs, dueAtMs + jitterMs(record)) + input.spreadMs;
    const job = { id: input.job, kind: 'rotate', record, ...place, order: null, person: null, dueAtMs };
    const isHeldUp = (yield* attentionOf(q, record)) !== null;
    const isMade = !isHeldUp && (yield* insertJob(q, { ...job, notBeforeMs, nowMs }));
    if (!isMade) {
      const ended = { state: missed.state, why: missed.why };
      yield* settleTrouble(q, { ...missed, gateway: place.gateway }, nowMs);
      yield* insertJob(q, { ...job, notBeforeMs: nowMs, nowMs, ended });
    }
    const stored = yield* lockJob(q, input.job);
    if (stored === null) return { record, dueAtMs, job: null, skipped };
    yield* addEntry(q, stored, { what: isMade ? 'due' : 'missed', instance: null, nowMs });
    if (skipped > 0) yield* addEntry(q, stored, { what: `skipped ${skipped}`, instance: null, nowMs });
    return { record, dueAtMs, job: isMade ? input.job : null, skipped };
  },

  *runRecheck(q, input) {
    const row = yield* first(q.db.deleteFrom('recheck').where('id', '=', input.id).returningAll());
    if (row === undefined) return null;
    const account = yield* first(q.db.selectFrom('account').selectAll().where('account', '=', row.account));
    const made = yield* first(q.db.selectFrom('job').select(['record', 'app', 'gateway']).where('id', '=', row.job));
    if (account === undefined || made === undefined) return null;
    const isRetirement = row.kind === 'retire';
    // Removed meanwhile, by hand or by a later rotation.
    if (isRetirement && account.leftover === null) return null;
    // A later rotation has re-checks of its own.
    const current = yield* first(
      q.db
        .selectFrom('account_version')
        .select('job')
        .where('account', '=', row.account)
        .where('n', '=', account.current ?? -1),
    );
    if (!isRetirement && current?.job !== row.job) return null;
    const job = {
      id: input.job,
      kind: isRetirement ? 'retire' : 'check',
      ...made,
      order: null,
      person: null,
      dueAtMs: null,
    };
    if (yield* insertJob(q, { ...job, notBeforeMs: input.nowMs, nowMs: input.nowMs })) {
      const stored = yield* lockJob(q, input.job);
      if (stored !== null)
        yield* addEntry(q, stored, {
          what: isRetirement ? 'tried again' : 're-check',
          instance: null,
          nowMs: input.nowMs,
        });
      return input.job;
    }
    yield* run(q.db.insertInto('recheck').values({ ...row, due_ms: input.nowMs + recheckAgainMs }));
    return null;
  },
};
