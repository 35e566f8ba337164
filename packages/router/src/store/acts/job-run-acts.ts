import { type InstanceId, type Item, jobWhySchema, PamError } from '@sallyport/protocol';
import {
  type AccountRows,
  type Decision,
  decideCancel,
  decideClaim,
  decideFinish,
  decideLogin,
  decidePermit,
  decidePromote,
  decideReport,
  decideResolve,
  decideStage,
  decideWait,
  fencedOff,
  isOpen,
  probeBudget,
  type VersionRow,
} from '@sallyport/rotation';
import { type Selectable, sql } from 'kysely';
import { instancesKept, type Refused, type RotationStore, type StoredJob } from '../../rotation/index.ts';
import { type Act, type ActsOf, all, first, prepared, type Queries, run } from '../act.ts';
import { incarnationUnit, readIncarnation } from '../migrations.ts';
import type { Database } from '../schema.ts';
import { auditActs } from './audit-acts.ts';
import {
  addEntry,
  addNote,
  lockAccount,
  lockJob,
  readLogins,
  readVersionRows,
  readVersions,
  saveJob,
  toAccount,
  toVersion,
} from './job-rows.ts';
import { isRunning, isWaiting } from './job-states.ts';
import { planRetirement } from './retire-acts.ts';
import { settleTrouble } from './trouble-acts.ts';
import { allParts, liveItems, putPart, readItems } from './vault-acts.ts';

type RunMethods =
  | 'claimJob'
  | 'stageVersion'
  | 'permitSend'
  | 'takeLogin'
  | 'reportStep'
  | 'promoteVersion'
  | 'waitJob'
  | 'finishJob'
  | 'noteLate'
  | 'cancelJob'
  | 'resolveRotation'
  | 'readOfferItems';

/** Versions that a claim is told, and that a decision looks at. */
const versionsTold = 12;
/** A job that finds its server at work waits this long; it is woken when a place is free. */
const serverBusyMs = 5_000;
const offerItems = 96;

interface Held {
  readonly rows: AccountRows;
  readonly job: StoredJob;
}

const refused = (code: Refused['refused'], why: string): Refused => ({ refused: code, why });

const accountOfJob = prepared((db, of: { job: string }) =>
  db.selectFrom('job').select(['record', 'account']).where('id', '=', of.job),
);

/** Rows of a job that was claimed before, locked: its account, then itself. */
function* lockRows(q: Queries, id: string): Act<Held | Refused> {
  const known = yield* first(accountOfJob(q, { job: id }));
  if (known === undefined) return refused('PAM_NOT_FOUND', `there is no job ${id}`);
  const account = known.account === null ? undefined : yield* lockAccount(q, known.account);
  const job = yield* lockJob(q, id);
  if (job === null || account === undefined) return refused('PAM_JOB_FENCED', 'the job was not claimed');
  const versions = yield* readVersionRows(q, account.account, versionsTold, [account.current, job.candidate]);
  return { rows: { account: toAccount(account), job, versions, logins: [] }, job };
}

const saveAccount = prepared(
  (db, row: Omit<Selectable<Database['account']>, 'record' | 'server' | 'attention' | 'retire_tries'>) =>
    db
      .updateTable('account')
      .set({ epoch: row.epoch, send: row.send, current: row.current, job: row.job })
      .set({ next_version: row.next_version, leftover: row.leftover, changed_ms: row.changed_ms })
      .where('account', '=', row.account),
);

/** Stores what a decision changed. `sealed`: of the version it made. */
function* saveRows(
  q: Queries,
  held: Held,
  to: AccountRows,
  with_: {
    readonly nowMs: number;
    readonly sealed?: { readonly gen: number; readonly envelope: string };
    readonly attention?: string;
  },
): Act<StoredJob> {
  const { rows, job } = held;
  const { nowMs, attention } = with_;
  if (to.account !== rows.account || attention !== undefined) {
    const { account, epoch, send, current, nextVersion, leftover } = to.account;
    const row = { account, epoch, send, current, job: to.account.job, next_version: nextVersion, leftover };
    yield* run(saveAccount(q, { ...row, changed_ms: nowMs }));
    if (attention !== undefined) {
      yield* run(q.db.updateTable('account').set({ attention }).where('account', '=', account));
    }
  }
  yield* saveVersions(q, rows.versions, to.versions, with_.sealed);
  if (to.job === rows.job) return job;
  const ended = !isOpen(to.job) && isOpen(rows.job);
  const saved: StoredJob = {
    ...job,
    ...to.job,
    why: jobWhySchema.parse(to.job.why === '' ? 'none' : to.job.why),
    endedAtMs: ended ? nowMs : job.endedAtMs,
  };
  yield* saveJob(q, job, saved);
  if (ended || (to.job.holder === null && rows.job.holder !== null)) yield* afterHold(q, saved, ended, nowMs);
  return saved;
}

/** Of those that wait for a place at a server, so many are woken by one: it may be another instance that has the place. */
const wokenByOne = 4;

const dropAnswers = prepared((db, of: { job: string }) => db.deleteFrom('job_answer').where('job', '=', of.job));
const forPlace = prepared((db, of: { server: string; nowMs: number; most: number }) =>
  db
    .selectFrom('job')
    .select('id')
    .where('server', '=', of.server)
    .where('state', '=', isWaiting)
    .where('why', '=', 'target-busy')
    .where('not_before_ms', '>', of.nowMs)
    .orderBy('created_ms')
    .orderBy('id')
    .limit(of.most),
);
const forAccount = prepared((db, of: { server: string; nowMs: number }) =>
  db
    .selectFrom('job')
    .select('id')
    .where('server', '=', of.server)
    .where('state', '=', isWaiting)
    .where('why', '=', 'account-busy')
    .where('not_before_ms', '>', of.nowMs),
);

/** A place at the server is free, perhaps the account: who waits for one of them may begin. */
function* afterHold(q: Queries, job: StoredJob, ended: boolean, nowMs: number): Act<void> {
  if (ended) {
    yield* run(dropAnswers(q, { job: job.id }));
    yield* settleTrouble(q, job, nowMs);
  }
  const { server } = job;
  if (server === null) return;
  const places = yield* all(forPlace(q, { server, nowMs, most: wokenByOne }));
  const accounts = yield* all(forAccount(q, { server, nowMs }));
  const woken = [...places, ...accounts].map(({ id }) => id);
  if (woken.length === 0) return;
  yield* run(q.db.updateTable('job').set({ not_before_ms: nowMs }).where('id', 'in', woken));
}

const markVersion = prepared((db, of: { account: string; n: number; state: string }) =>
  db.updateTable('account_version').set({ state: of.state }).where('account', '=', of.account).where('n', '=', of.n),
);
const putVersion = prepared((db, row: Omit<Selectable<Database['account_version']>, 'source'>) =>
  db.insertInto('account_version').values({
    ...{ account: row.account, n: row.n, job: row.job, rev: row.rev, gen: row.gen, envelope: row.envelope },
    ...{ state: row.state, at_ms: row.at_ms, source: null },
  }),
);

function* saveVersions(
  q: Queries,
  before: readonly VersionRow[],
  after: readonly VersionRow[],
  sealed?: { readonly gen: number; readonly envelope: string },
): Act<void> {
  if (before === after) return;
  for (const version of after) {
    const known = before.find((each) => each.n === version.n);
    if (known === version) continue;
    const { account, n, job, rev, state, atMs } = version;
    if (known !== undefined) {
      yield* run(markVersion(q, { account, n, state }));
      continue;
    }
    if (sealed === undefined) throw new PamError('PAM_INTERNAL', 'a version was made and has no envelope');
    yield* run(putVersion(q, { account, n, job, rev, state, at_ms: atMs, ...sealed }));
  }
}

type AnswerKey = Pick<Database['job_answer'], 'job' | 'epoch' | 'key'>;
const answerBefore = prepared((db, of: AnswerKey) =>
  db
    .selectFrom('job_answer')
    .select('answer')
    .where('job', '=', of.job)
    .where('epoch', '=', of.epoch)
    .where('key', '=', of.key),
);
const keepAnswer = prepared((db, row: Database['job_answer']) =>
  db.insertInto('job_answer').values({ job: row.job, epoch: row.epoch, key: row.key, answer: row.answer }),
);

/** The answer of this key, if it was given before. */
function* answerOf(q: Queries, { job, epoch, key }: AnswerKey): Act<unknown> {
  const row = yield* first(answerBefore(q, { job, epoch, key }));
  return row === undefined ? null : JSON.parse(row.answer);
}

type HolderCall = { readonly job: string; readonly epoch: number; readonly nowMs: number } & {
  readonly instance: InstanceId;
};

interface Told {
  readonly what: string;
  readonly sealed?: { readonly gen: number; readonly envelope: string };
  readonly note?: { readonly gen: number; readonly envelope: string } | null;
}

/** A decision about a holder's call, its rows and an entry. */
function* decided<Answer extends object>(
  q: Queries,
  held: Held,
  input: HolderCall,
  decision: Decision<Answer>,
  told: Told,
): Act<Refused | Answer> {
  if (!decision.ok) return refused(decision.code, decision.why);
  const { nowMs, instance } = input;
  const saved = yield* saveRows(q, held, decision.rows, {
    nowMs,
    ...(told.sealed === undefined ? {} : { sealed: told.sealed }),
  });
  yield* addEntry(q, saved, { what: told.what, instance, nowMs });
  yield* addNote(q, saved.id, told.note ?? null);
  return decision.answer;
}

/**
 * One idempotent call of a holder: the answer of before, or a decision and its answer kept. Who lost the job hears that
 * first: an answer of before must not tell him that he still has it (R5).
 */
function* keyed<Answer extends object>(
  q: Queries,
  input: HolderCall & { readonly key: string },
  decide: (rows: AccountRows) => Decision<Answer>,
  told: Told,
): Act<Refused | Answer> {
  const held = yield* lockRows(q, input.job);
  if ('refused' in held) return held;
  const fenced = fencedOff(held.job, input);
  if (fenced !== null) return refused(fenced.code, fenced.why);
  const before = yield* answerOf(q, input);
  if (before !== null) return before as Answer;
  const answer = yield* decided(q, held, input, decide(held.rows), told);
  if ('refused' in answer) return answer;
  const { job, epoch, key } = input;
  yield* run(keepAnswer(q, { job, epoch, key, answer: JSON.stringify(answer) }));
  return answer;
}

type Secrets = { readonly rev: number; readonly gen: number; readonly envelope: string };

const liveItem = prepared((db, of: { uid: string }) =>
  db.selectFrom('item').select('uid').where('uid', '=', of.uid).where('removed_ms', 'is', null),
);
const lockedItem = prepared((db, of: { uid: string }) =>
  db
    .updateTable('item')
    .set((row) => ({ modified_ms: row('modified_ms', '+', 0) }))
    .where('uid', '=', of.uid)
    .where('removed_ms', 'is', null)
    .returning('uid'),
);
const newestSecrets = prepared((db, of: { uid: string }) =>
  db
    .selectFrom('item_part')
    .select(['rev', 'gen', 'envelope'])
    .where('uid', '=', of.uid)
    .where('part', '=', 'secrets')
    .where('newest', '=', sql.lit(1)),
);

/** The newest secrets of a live record; null when it is gone, of revision 0 when it has none. */
function* secretsOf(q: Queries, record: string): Act<Secrets | null> {
  // The item's row is locked as whoever writes it locks it: what is read here is what is written over, or not.
  const live = yield* first((q.engine === 'sqlite' ? liveItem : lockedItem)(q, { uid: record }));
  if (live === undefined) return null;
  return (yield* first(newestSecrets(q, { uid: record }))) ?? { rev: 0, gen: 0, envelope: '' };
}

type LeaseKey = Pick<Database['work_lease'], 'instance' | 'lease'>;
const heldLease = prepared((db, of: LeaseKey) =>
  db
    .selectFrom('work_lease')
    .select('lease')
    .where('instance', '=', of.instance)
    .where('lease', '=', of.lease)
    .where('state', '=', 'held'),
);
const lockedLease = prepared((db, of: LeaseKey) =>
  db
    .updateTable('work_lease')
    .set((row) => ({ renewals: row('renewals', '+', 0) }))
    .where('instance', '=', of.instance)
    .where('lease', '=', of.lease)
    .where('state', '=', 'held')
    .returning('lease'),
);

/** The lease, held until this transaction ends. */
function* holdsLease(q: Queries, instance: string, lease: number): Act<boolean> {
  const held = yield* first((q.engine === 'sqlite' ? heldLease : lockedLease)(q, { instance, lease }));
  return held !== undefined;
}

/** Takes the server's row, so that its claims come one by one; on SQLite every transaction that writes does. */
function* lockServer(q: Queries, server: string): Act<void> {
  if (q.engine === 'sqlite') return;
  yield* run(
    q.db
      .insertInto('job_server')
      .values({ server, claims: 1 })
      .onConflict((on) => on.column('server').doUpdateSet((of) => ({ claims: of('job_server.claims', '+', 1) }))),
  );
}

const runningAt = prepared((db, of: { server: string; but: string }) =>
  db
    .selectFrom('job')
    .select(['due_ms', 'instance'])
    .where('server', '=', of.server)
    .where('state', '=', isRunning)
    .where('id', '<>', of.but),
);

/** Jobs that run at this server now: those of schedules, and those of one instance. */
function* countAtServer(
  q: Queries,
  server: string,
  instance: string,
  but: string,
): Act<{ scheduled: number; here: number }> {
  const rows = yield* all(runningAt(q, { server, but }));
  return {
    scheduled: rows.filter((row) => row.due_ms !== null).length,
    here: rows.filter((row) => row.instance === instance).length,
  };
}

/** The account's row, made at its first claim; another record's goes over to this one when that record is gone. */
function* enterAccount(
  q: Queries,
  of: { readonly account: string; readonly server: string; readonly record: string; readonly nowMs: number },
): Act<Selectable<Database['account']>> {
  const { account, server, record, nowMs } = of;
  const epoch = (yield* readIncarnation(q)) * incarnationUnit;
  const send = epoch - incarnationUnit;
  const row = { account, record, server, epoch, send, current: null, job: null, next_version: 0 };
  const known = q.engine === 'sqlite' ? yield* lockAccount(q, account) : undefined;
  if (known === undefined) {
    yield* run(
      q.db
        .insertInto('account')
        .values({ ...row, attention: null, changed_ms: nowMs })
        .onConflict((on) => on.doNothing()),
    );
  }
  const locked = known ?? (yield* lockAccount(q, account));
  if (locked === undefined) throw new PamError('PAM_INTERNAL', 'an account was stored and is not there');
  if (locked.record === record || locked.job !== null) return locked;
  const isThere = (yield* liveItems(q, [locked.record])).length > 0;
  if (isThere) return locked;
  yield* run(q.db.updateTable('account').set({ record }).where('account', '=', account));
  return { ...locked, record };
}

function* waitFor(q: Queries, job: StoredJob, server: string, nowMs: number): Act<Refused> {
  const waits = { state: 'waiting', why: 'target-busy', not_before_ms: nowMs + serverBusyMs, server } as const;
  yield* run(q.db.updateTable('job').set(waits).where('id', '=', job.id));
  return refused('PAM_JOB_BUSY', 'the server has as many jobs as it may have at once');
}

/** Fails a job that nobody can run. */
function* failJob(q: Queries, job: StoredJob, why: string, nowMs: number): Act<void> {
  yield* run(q.db.updateTable('job').set({ state: 'failed', why, ended_ms: nowMs }).where('id', '=', job.id));
  yield* addEntry(q, job, { what: 'failed', instance: null, nowMs });
}

function readAddress(text: string | null): { gen: number; envelope: string } | null {
  return text === null ? null : (JSON.parse(text) as { gen: number; envelope: string });
}

const putLogin = prepared((db, row: Database['account_login']) =>
  db
    .insertInto('account_login')
    .values({ account: row.account, id: row.id, at_ms: row.at_ms, state: row.state })
    .onConflict((on) => on.columns(['account', 'id']).doUpdateSet({ state: row.state })),
);
const dropLogins = prepared((db, of: { account: string; sinceMs: number }) =>
  db.deleteFrom('account_login').where('account', '=', of.account).where('at_ms', '<=', of.sinceMs),
);
const sealedVersion = prepared((db, of: { account: string; n: number }) =>
  db
    .selectFrom('account_version')
    .select(['rev', 'gen', 'envelope'])
    .where('account', '=', of.account)
    .where('n', '=', of.n),
);
const touchItem = prepared((db, of: { uid: string; nowMs: number }) =>
  db.updateTable('item').set({ modified_ms: of.nowMs }).where('uid', '=', of.uid),
);
const linkedTo = prepared((db, of: { target: string; most: number }) =>
  db.selectFrom('item_link').select('item').where('target', '=', of.target).orderBy('item').limit(of.most),
);
const calmAccount = prepared((db, of: { account: string }) =>
  db
    .updateTable('account')
    .set({ attention: null })
    .where('account', '=', of.account)
    .where('attention', 'is not', null),
);

export const jobRunActs: Pick<ActsOf<RotationStore>, RunMethods> = {
  *claimJob(q, input) {
    const { instance, lease, server, nowMs } = input;
    if (!(yield* holdsLease(q, instance, lease))) return refused('PAM_LEASE_LOST', 'the lease is not held any more');
    const known = yield* first(accountOfJob(q, { job: input.job }));
    if (known === undefined) return refused('PAM_NOT_FOUND', `there is no job ${input.job}`);
    if (known.account !== null && known.account !== input.account) {
      // Its record was pointed somewhere else meanwhile; what was begun belongs to the account of then.
      return refused('PAM_CONFLICT', 'the job was begun for another account');
    }
    yield* lockServer(q, server);
    const account = yield* enterAccount(q, { ...input, record: known.record });
    const job = yield* lockJob(q, input.job);
    if (job === null) return refused('PAM_NOT_FOUND', `there is no job ${input.job}`);
    const isOurs = job.holder?.instance === instance && job.holder.lease === lease;
    if (isOpen(job) && job.holder === null) {
      const busy = yield* countAtServer(q, server, instance, job.id);
      const isBusy = job.dueAtMs === null ? busy.here >= input.orderedAtOnce : busy.scheduled >= input.scheduledAtOnce;
      if (isBusy) return yield* waitFor(q, job, server, nowMs);
    }
    const secrets = yield* secretsOf(q, job.record);
    if (secrets === null && isOpen(job) && job.sends.length === 0) {
      yield* failJob(q, job, 'record-invalid', nowMs);
      return refused('PAM_NOT_FOUND', 'the record is gone');
    }
    const versions = yield* readVersionRows(q, account.account, versionsTold, [account.current, job.candidate]);
    const rows = { account: toAccount(account), job, versions, logins: [] };
    const held = { rows, job };
    const secretsRev = secrets?.rev ?? job.base ?? 0;
    const decision = decideClaim(rows, { instance, lease, secretsRev }, nowMs);
    if (!decision.ok) {
      const poison = decision.code === 'PAM_JOB_POISON' ? { attention: 'poison' } : {};
      const saved = yield* saveRows(q, held, decision.rows, { nowMs, ...poison });
      if (saved !== job) yield* addEntry(q, saved, { what: saved.why, instance, nowMs });
      if (!isOpen(saved)) yield* planRetirement(q, saved, nowMs);
      return refused(decision.code, decision.why);
    }
    const { answer } = decision;
    const to = answer.again ? decision.rows : { ...decision.rows, job: begun(decision.rows.job, job, input) };
    const saved = yield* saveRows(q, held, to, {
      nowMs,
      ...(secrets === null ? {} : { sealed: { gen: secrets.gen, envelope: secrets.envelope } }),
    });
    if (!answer.again) yield* addEntry(q, saved, { what: 'claimed', instance, nowMs });
    const { current, candidate } = { current: to.account.current ?? 0, candidate: saved.candidate };
    const tellable = yield* readVersions(q, account.account, versionsTold, [current, candidate]);
    return {
      record: saved.record,
      claimed: {
        epoch: answer.epoch,
        step: saved.step,
        base: saved.base ?? 0,
        current,
        candidate,
        rejections: saved.rejections,
        sends: saved.sends.slice(-64).map((send) => ({ ...send })),
        address: readAddress(saved.address),
        cancelAsked: saved.cancelAsked,
        followUps: [...saved.followUps],
        versions: tellable.map(toVersion),
      },
    };

    function begun(decided: AccountRows['job'], was: StoredJob, by: typeof input): StoredJob {
      const ran = was.instances.filter((each) => each !== by.instance).slice(1 - instancesKept);
      const why = 'none';
      const startedAtMs = was.startedAtMs ?? nowMs;
      return { ...was, ...decided, why, server, startedAtMs, instances: isOurs ? was.instances : [...ran, instance] };
    }
  },

  *stageVersion(q, input) {
    const { gen, envelope, nowMs } = input;
    return yield* keyed(q, input, (rows) => decideStage(rows, input, nowMs), {
      what: 'staged',
      sealed: { gen, envelope },
    });
  },

  *permitSend(q, input) {
    const address = JSON.stringify(input.address);
    const held = yield* lockRows(q, input.job);
    if ('refused' in held) return held;
    // Asked again it is another write under a number of its own: an old permit is never given a new time.
    const decision = decidePermit(held.rows, { ...input, adds: input.adds ?? false, address });
    return yield* decided(q, held, input, decision, { what: 'permitted' });
  },

  *takeLogin(q, input) {
    const { account, nowMs } = input;
    // No claim, no account: what nobody holds, nobody probes.
    if ((yield* lockAccount(q, account)) === undefined) return { granted: false, inMs: probeBudget.windowMs };
    const sinceMs = nowMs - probeBudget.windowMs;
    const logins = yield* readLogins(q, account, sinceMs);
    const decided = decideLogin({ account: { account }, logins }, input, nowMs);
    for (const login of decided.rows.logins) {
      if (logins.includes(login)) continue;
      const { id, atMs, state } = login;
      yield* run(putLogin(q, { account, id, at_ms: atMs, state }));
    }
    if (input.act === 'take') {
      yield* run(dropLogins(q, { account, sinceMs }));
    }
    return { granted: decided.granted, inMs: Math.ceil(decided.inMs) };
  },

  *reportStep(q, input) {
    const { what, note } = input;
    return yield* keyed(q, input, (rows) => decideReport(rows, input), { what: wordOf(what), note });
  },

  *promoteVersion(q, input) {
    const held = yield* lockRows(q, input.job);
    if ('refused' in held) return held;
    const { job } = held;
    const secrets = yield* secretsOf(q, job.record);
    const decision = decidePromote(held.rows, { ...input, secretsRev: secrets?.rev ?? null });
    if (!decision.ok) return refused(decision.code, decision.why);
    const { record, app, createdAtMs } = job;
    const { answer } = decision;
    const again = answer.kind === 'promoted' && answer.again;
    const { nowMs, instance } = input;
    if (answer.kind === 'edited') {
      yield* addEntry(q, job, { what: 'edited', instance, nowMs });
      const head = input.edited === null ? null : yield* auditActs.appendEvents(q, input.edited);
      const edited = { kind: 'edited', rev: Math.max(1, secrets?.rev ?? 1) } as const;
      return { answer: edited, head, record, app, createdAtMs, again };
    }
    if (!again) {
      const version = yield* first(sealedVersion(q, { account: held.rows.account.account, n: input.version }));
      if (version === undefined) throw new PamError('PAM_INTERNAL', 'a candidate has no envelope');
      yield* putPart(q, record, 'secrets', version, instance, nowMs);
      yield* run(touchItem(q, { uid: record, nowMs }));
      const saved = yield* saveRows(q, held, decision.rows, { nowMs });
      yield* addEntry(q, saved, { what: 'promoted', instance, nowMs });
    }
    const head = input.promoted === null ? null : yield* auditActs.appendEvents(q, input.promoted);
    return { answer: { kind: 'promoted' }, head, record, app, createdAtMs, again };
  },

  *waitJob(q, input) {
    const held = yield* lockRows(q, input.job);
    if ('refused' in held) return held;
    const { nowMs, instance, note, why } = input;
    const decision = decideWait(held.rows, input, nowMs);
    // The answer of before was lost.
    const isAgain = !decision.ok && held.job.state === 'waiting' && held.job.epoch === input.epoch;
    if (isAgain) return {};
    if (!decision.ok) return refused(decision.code, decision.why);
    const saved = yield* saveRows(q, held, decision.rows, { nowMs });
    yield* addEntry(q, saved, { what: `waits: ${why}`, instance, nowMs });
    yield* addNote(q, saved.id, note);
    return {};
  },

  *finishJob(q, input) {
    const held = yield* lockRows(q, input.job);
    if ('refused' in held) return held;
    const { nowMs, instance, note, outcome, why } = input;
    const decision = decideFinish(held.rows, input);
    if (!decision.ok) return refused(decision.code, decision.why);
    let { job } = held;
    if (!decision.answer.again) {
      const attention = attentionAfter(held.job, outcome, why);
      const ended: StoredJob = { ...held.job, ...decision.rows.job, why, after: input.after ?? null };
      job = yield* saveRows(
        q,
        held,
        { ...decision.rows, job: ended },
        { nowMs, ...(attention === undefined ? {} : { attention }) },
      );
      if (attention === undefined && outcome === 'done') yield* settleAttention(q, held);
      yield* addEntry(q, job, { what: outcome, instance, nowMs });
      yield* addNote(q, job.id, note);
      yield* planRetirement(q, job, nowMs);
      if (outcome === 'done') yield* planRechecks(q, job, input.recheckMs, nowMs);
    }
    const head = input.told === null ? null : yield* auditActs.appendEvents(q, input.told);
    return { head, job };
  },

  *noteLate(q, input) {
    const account = yield* lockAccount(q, input.account);
    const job = yield* lockJob(q, input.job);
    if (account === undefined || job === null || job.account !== account.account) return;
    // Whoever works on the account now probes before it writes; what nobody looks at is looked at by somebody.
    if (account.job === null && account.attention === null) {
      yield* run(q.db.updateTable('account').set({ attention: 'late-effect' }).where('account', '=', account.account));
    }
    yield* addEntry(q, job, {
      what: `late effect of send ${input.send}`,
      instance: input.instance,
      nowMs: input.nowMs,
    });
    yield* addNote(q, job.id, input.note);
  },

  *cancelJob(q, input) {
    const known = yield* first(q.db.selectFrom('job').select('account').where('id', '=', input.job));
    if (known === undefined) throw new PamError('PAM_NOT_FOUND', `there is no job ${input.job}`);
    const account = known.account === null ? undefined : yield* lockAccount(q, known.account);
    const job = yield* lockJob(q, input.job);
    if (job === null) throw new PamError('PAM_NOT_FOUND', `there is no job ${input.job}`);
    const rows = { account: account === undefined ? null : toAccount(account), job };
    const decision = decideCancel(rows);
    if (!decision.ok) throw new PamError(decision.code, decision.why, { detail: { job: job.id, state: job.state } });
    const { ended } = decision.answer;
    const why = jobWhySchema.parse(decision.rows.job.why === '' ? 'none' : decision.rows.job.why);
    const saved = { ...job, ...decision.rows.job, why, endedAtMs: ended ? input.nowMs : null };
    yield* saveJob(q, job, saved);
    if (account !== undefined && decision.rows.account !== rows.account) {
      yield* run(q.db.updateTable('account').set({ job: null }).where('account', '=', account.account));
    }
    if (ended) {
      yield* afterHold(q, saved, true, input.nowMs);
      yield* planRetirement(q, saved, input.nowMs);
    }
    yield* addEntry(q, job, { what: ended ? 'cancelled' : 'cancel asked', instance: null, nowMs: input.nowMs });
    return saved;
  },

  *resolveRotation(q, input) {
    const { record, version, secrets, nowMs } = input;
    const candidates = yield* all(
      q.db
        .selectFrom('account')
        .select(['account', 'attention'])
        .where('record', '=', record)
        .orderBy('changed_ms', 'desc')
        .orderBy('account'),
    );
    const chosen = candidates.find((row) => row.attention !== null) ?? candidates[0];
    const account = chosen === undefined ? undefined : yield* lockAccount(q, chosen.account);
    if (account === undefined) throw new PamError('PAM_NOT_FOUND', `nothing was ever rotated for ${record}`);
    const versions = yield* readVersionRows(q, account.account, versionsTold, [account.current, version]);
    const rows = { account: toAccount(account), versions };
    const decision = decideResolve(rows, { version, rev: secrets?.rev ?? null }, nowMs);
    if (!decision.ok) throw new PamError(decision.code, decision.why, { detail: { record } });
    if (secrets !== null) {
      if ((yield* secretsOf(q, record)) === null) throw new PamError('PAM_NOT_FOUND', `there is no item ${record}`);
      yield* putPart(q, record, 'secrets', secrets, input.author, nowMs);
      yield* run(q.db.updateTable('item').set({ modified_ms: nowMs }).where('uid', '=', record));
      const { gen, envelope } = secrets;
      yield* saveVersions(q, rows.versions, decision.rows.versions, { gen, envelope });
    }
    const { current, nextVersion } = decision.rows.account;
    yield* run(
      q.db
        .updateTable('account')
        .set({ current, next_version: nextVersion, attention: null, changed_ms: nowMs })
        .where('account', '=', account.account),
    );
    const [item] = yield* readItems(q, yield* liveItems(q, [record]), allParts);
    if (item === undefined) throw new PamError('PAM_NOT_FOUND', `there is no item ${record}`);
    return item;
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

/** Items that an offer has not yet, as many as it has room for. */
function* readMore(q: Queries, uids: readonly string[], have: Set<string>): Act<Item[]> {
  const rest = [...new Set(uids)].filter((uid) => !have.has(uid)).slice(0, Math.max(0, offerItems - have.size));
  for (const uid of rest) have.add(uid);
  return yield* readItems(q, yield* liveItems(q, rest), allParts);
}

/** What happened, in a word for people. */
function wordOf(what: Parameters<typeof decideReport>[1]['what']): string {
  switch (what.kind) {
    case 'wrote':
      return `wrote: ${what.outcome}`;
    case 'verified':
      return 'verified';
    case 'converged':
      return what.agreed ? 'converged' : 'replicas differ';
    case 'retired':
      return 'retired';
    case 'follow-up':
      return `${what.isOnce ? 'script' : 'service'}: ${what.state}`;
    case 'waits':
      return what.why;
    default:
      return what satisfies never;
  }
}

/** What the account's attention becomes; undefined: stays as it is. */
function attentionAfter(job: StoredJob, outcome: string, why: string): string | undefined {
  if (outcome !== 'attention') return undefined;
  return why === 'none' ? 'internal' : why || job.why;
}

/** A rotation that went through, and a check that opened, have seen what the vault holds open the account. */
function* settleAttention(q: Queries, held: Held): Act<void> {
  if (held.job.kind === 'rehearse' || held.job.kind === 'after') return;
  yield* run(calmAccount(q, { account: held.rows.account.account }));
}

function* planRechecks(q: Queries, job: StoredJob, recheckMs: readonly number[], nowMs: number): Act<void> {
  if (job.account === null) return;
  for (const [i, ms] of recheckMs.entries()) {
    yield* run(
      q.db
        .insertInto('recheck')
        .values({ id: `${job.id}.${i}`, job: job.id, account: job.account, due_ms: nowMs + ms, kind: null })
        .onConflict((on) => on.doNothing()),
    );
  }
}
