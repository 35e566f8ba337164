import type { Item, PamError, PartEnvelope } from '@sallyport/protocol';
import { describe, expect, test } from 'vitest';
import type { NewJob } from '../../src/rotation/index.ts';
import type { Store } from '../../src/store/index.ts';
import { postgresUnderTest, sqliteUnderTest } from './engines.ts';
import { testNowMs } from './engines-time.ts';
import {
  account,
  claimOf,
  jobId,
  kept,
  leaseOf,
  newOrder,
  noEvents,
  note,
  one,
  putUsers,
  startOne,
} from './rotation-samples.ts';
import { emptyMirror, gatewayUid, hash, instanceId, itemUid, record, sealedPart } from './samples.ts';

const nowMs = testNowMs;
const two = instanceId('two');

async function codeOf(work: Promise<unknown>): Promise<string> {
  const [only] = await Promise.allSettled([work]);
  return only.status === 'rejected' ? (only.reason as PamError).code : 'nothing was thrown';
}
function refusal(answer: object): string {
  return 'refused' in answer ? String(answer.refused) : 'not refused';
}

/** One record to rotate, and an instance with a lease. */
async function ready(store: Store, names: readonly string[] = ['user']): Promise<number> {
  await putUsers(store, names);
  return leaseOf(store);
}
const start = (store: Store, job: string, change: Partial<NewJob> = {}) => startOne(store, newOrder(job, change));
const claim = (store: Store, job: string, under: number, change: Parameters<typeof claimOf>[2] = {}) =>
  store.rotation.claimJob(claimOf(job, under, change));
const secretsOf = async (store: Store, name = 'user'): Promise<PartEnvelope | undefined> =>
  (await store.vault.getItem({ uid: itemUid(name) }))?.parts.secrets;

/** A claimed job's calls under its epoch. */
function run(store: Store, job: string, epoch: number, instance = one) {
  const at = { job: jobId(job), epoch, instance, nowMs };
  return {
    stage: (rev = 2, key = 'stage-01') =>
      store.rotation.stageVersion({ ...at, key, rev, gen: 1, envelope: 'candidate'.padEnd(32, key) }),
    permit: (mark = 0, key = 'permit-01') => store.rotation.permitSend({ ...at, key, mark, address: note }),
    report: (what: Parameters<Store['rotation']['reportStep']>[0]['what'], key: string) =>
      store.rotation.reportStep({ ...at, key, what, note }),
    promote: (version = 1) => store.rotation.promoteVersion({ ...at, version, promoted: noEvents, edited: noEvents }),
    wait: (inMs = 0) => store.rotation.waitJob({ ...at, inMs, why: 'locked', note: null }),
    finish: (outcome: 'done' | 'failed' | 'attention' = 'done', recheckMs: number[] = [], more: object = {}) =>
      store.rotation.finishJob({
        ...{ ...at, outcome, note, recheckMs, told: noEvents, ...more },
        why: outcome === 'attention' ? 'nothing-opens' : 'rotated',
      }),
  };
}

/** A whole rotation of the first record, up to its promotion. */
async function promoted(store: Store): Promise<ReturnType<typeof run>> {
  const under = await ready(store);
  await start(store, 'job');
  const { claimed } = kept(await claim(store, 'job', under));
  const by = run(store, 'job', claimed.epoch);
  kept(await by.stage());
  const { send } = kept(await by.permit());
  kept(await by.report({ kind: 'wrote', send, outcome: 'applied' }, 'report-1'));
  kept(await by.report({ kind: 'verified', version: 1, send }, 'report-2'));
  kept(await by.promote());
  return by;
}

describe.each([sqliteUnderTest(), postgresUnderTest()])('rotation on $name', (engine) => {
  const on = test.skipIf(engine.missing !== null);

  on('how what followed a rotation went is kept with its end, and told again as it was', async () => {
    const store = await engine.fresh();
    const by = await promoted(store);
    const scripts = { done: 1, failed: 1, unknown: 0, skipped: 2 };
    const after = { scripts, services: { done: 0, failed: 0, unknown: 1, skipped: 0 } };
    expect(kept(await by.finish('done', [], { after })).job).toMatchObject({ state: 'done', why: 'rotated', after });
    const other = { after: { ...after, scripts: { ...scripts, failed: 0 } } };
    expect(kept(await by.finish('done', [], other)).job.after).toEqual(after);
    expect((await store.rotation.getJob({ job: jobId('job') }))?.after).toEqual(after);
    await start(store, 'next');
    expect((await store.rotation.getJob({ job: jobId('next') }))?.after).toBeNull();
  });

  on(
    'a script is begun once in a job, whoever holds it; a service again; the next holder is told of both',
    async () => {
      const store = await engine.fresh();
      const by = await promoted(store);
      const script = { kind: 'follow-up', name: hash('script'), isOnce: true } as const;
      const service = { kind: 'follow-up', name: hash('service'), isOnce: false } as const;
      for (const each of [script, service]) {
        kept(await by.report({ ...each, state: 'begun' }, `begun-${each.name}`));
        kept(await by.report({ ...each, state: 'begun' }, `begun-${each.name}`));
      }
      await store.rotation.releaseLease({ instance: one, lease: null, nowMs });
      const under = await leaseOf(store, two);
      const { claimed } = kept(await claim(store, 'job', under, { instance: two }));
      expect(claimed.step).toBe('promoted');
      expect(claimed.followUps).toEqual([
        { name: script.name, state: 'begun' },
        { name: service.name, state: 'begun' },
      ]);
      const next = run(store, 'job', claimed.epoch, two);
      expect(refusal(await next.report({ ...script, state: 'begun' }, 'again-script'))).toBe('PAM_CONFLICT');
      kept(await next.report({ ...service, state: 'begun' }, 'again-service'));
      kept(await next.report({ ...service, state: 'done' }, 'done-service'));
      expect(refusal(await by.report({ ...script, state: 'done' }, 'late-one'))).toBe('PAM_JOB_FENCED');
      expect((await store.rotation.getJob({ job: jobId('job') }))?.followUps).toEqual([
        { name: script.name, state: 'begun' },
        { name: service.name, state: 'done' },
      ]);
    },
  );

  on(
    'what ended well for these secrets is not run again, for others it is; not while the account needs a decision',
    async () => {
      const store = await engine.fresh();
      const by = await promoted(store);
      const state = (name: string, as: 'done' | 'failed') =>
        by.report({ kind: 'follow-up', name: hash(name), isOnce: true, state: as }, `${as}-${name}`);
      kept(await state('well', 'done'));
      kept(await state('badly', 'failed'));
      kept(await by.finish());
      const again = async (job: string, carryFrom: number | null) => {
        const made = await start(store, job, { kind: 'after', carryFrom });
        await store.rotation.cancelJob({ job: made.id, nowMs });
        return made.followUps;
      };
      expect(await again('same', 2)).toEqual([{ name: hash('well'), state: 'done' }]);
      expect(await again('others', 3)).toEqual([]);
      expect(await again('all', null)).toEqual([]);
      const under = await leaseOf(store, two);
      await start(store, 'check', { kind: 'check' });
      const { claimed } = kept(await claim(store, 'check', under, { instance: two }));
      kept(await run(store, 'check', claimed.epoch, two).finish('attention'));
      await expect(again('later', 2)).rejects.toMatchObject({ code: 'PAM_ROTATION_ATTENTION' });
    },
  );

  on('what is wrong with a rotation is told until it is cured, and gone with its record', async () => {
    const store = await engine.fresh();
    const by = await promoted(store);
    const none = { done: 0, failed: 0, unknown: 0, skipped: 0 };
    const after = { scripts: { ...none, failed: 1 }, services: none };
    const told = () => store.rotation.countTroubles({ dueBeforeMs: 0 });
    expect(await told()).toEqual([]);
    kept(await by.finish('done', [], { after }));
    const troubled = { gateway: gatewayUid(), what: 'after', count: 1 };
    expect(await told()).toEqual([troubled]);
    const denied = (job: string) =>
      store.rotation.denyJob({ job: jobId(job), instance: null, why: 'no-kind', note: null, told: noEvents, nowMs });
    await start(store, 'check', { kind: 'check' });
    await denied('check');
    expect(await told()).toEqual([troubled]);
    await start(store, 'again', { kind: 'after', carryFrom: 2 });
    const { claimed } = kept(await claim(store, 'again', await leaseOf(store, two), { instance: two }));
    kept(await run(store, 'again', claimed.epoch, two).finish());
    expect(await told()).toEqual([]);
    await start(store, 'next');
    await denied('next');
    expect(await told()).toEqual([{ ...troubled, what: 'failed' }]);
    const known = await store.rotation.readRotation({ record: itemUid('user'), nowMs });
    expect(known.trouble).toBe('failed');
    await store.vault.removeItem({ uid: itemUid('user'), nowMs });
    expect(await told()).toEqual([]);
  });

  on('a run ends with the candidate as the newest secrets, and every version kept', async () => {
    const store = await engine.fresh();
    const by = await promoted(store);
    expect(await secretsOf(store)).toMatchObject({ rev: 2, envelope: 'candidate'.padEnd(32, 'stage-01') });
    const { job } = kept(await by.finish());
    expect([job.state, job.step, job.holder]).toEqual(['done', 'done', null]);
    const known = await store.rotation.readRotation({ record: itemUid('user'), nowMs });
    expect(known.account).toMatchObject({ current: 1, job: null, attention: null, budget: 2 });
    expect(known.versions.map(({ n, rev, state }) => [n, rev, state])).toEqual([
      [1, 2, 'promoted'],
      [0, 1, 'adopted'],
    ]);
    const shown = await store.rotation.readJob({ job: jobId('job') });
    expect(shown?.entries.map((entry) => entry.what)).toEqual([
      ...['ordered', 'claimed', 'staged', 'permitted', 'wrote: applied', 'verified', 'promoted', 'done'],
    ]);
    expect(shown?.notes).toEqual([note, note, note]);
  });

  on('an order is stored once under its id; a record has one open job', async () => {
    const store = await engine.fresh();
    await ready(store, ['user', 'other']);
    const first = await start(store, 'job');
    expect(await start(store, 'job')).toEqual(first);
    expect(await codeOf(start(store, 'job', { record: itemUid('other') }))).toBe('PAM_CONFLICT');
    expect(await codeOf(start(store, 'second'))).toBe('PAM_JOB_BUSY');
    const races = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => start(store, `race${i}`, { record: itemUid('other') })),
    );
    expect(races.filter((race) => race.status === 'fulfilled')).toHaveLength(1);
    const { jobs } = await store.rotation.listJobs({ state: 'open', limit: 10 });
    expect(jobs).toHaveLength(2);
  });

  on('of many orders in one call each has its own answer, and the event says which were refused', async () => {
    const store = await engine.fresh();
    await ready(store, ['user', 'other', 'third']);
    await start(store, 'before', { record: itemUid('other') });
    const orders = [
      newOrder('zero', { record: itemUid('third') }),
      newOrder('one', { record: itemUid('other') }),
      newOrder('two'),
      newOrder('three'),
    ];
    const events = [{ atMs: nowMs, kind: 'job.ordered', body: '{"jobs":4}', actorEvent: null, actor: null }];
    const { results, head } = await store.rotation.startJobs({
      orders,
      told: { ...noEvents, router: hash('router'), events },
    });
    expect(results.map((each) => ('job' in each ? each.job.id : each.error.code))).toEqual([
      ...[jobId('zero'), 'PAM_JOB_BUSY', jobId('two'), 'PAM_JOB_BUSY'],
    ]);
    const { events: kept } = await store.audit.listEvents({ start: 0, after: 0, limit: 9, order: 'newest' });
    expect(kept[0]).toMatchObject({ seq: head.seq, hash: head.hash, kind: 'job.ordered' });
    expect(JSON.parse(kept[0]?.body ?? '')).toEqual({ jobs: 4, refused: [jobId('one'), jobId('three')] });
    expect(await store.rotation.getJob({ job: jobId('three') })).toBeNull();
  });

  on('two callers that order the same records in opposite order: each record is given one job', async () => {
    const store = await engine.fresh();
    const names = Array.from({ length: 12 }, (_, n) => `user${n}`);
    await ready(store, names);
    const ordersOf = (by: string): NewJob[] =>
      names.map((name) => newOrder(`${by}-${name}`, { record: itemUid(name) }));
    const all = await Promise.all(
      [ordersOf('a'), ordersOf('b').toReversed()].map((orders) => store.rotation.startJobs({ orders, told: noEvents })),
    );
    const stored = all.flatMap(({ results }) => results.flatMap((each) => ('job' in each ? [each.job.record] : [])));
    expect(stored.toSorted()).toEqual(names.map((name) => itemUid(name)).toSorted());
  });

  on('twenty claimers of one job: one has it', async () => {
    const store = await engine.fresh();
    await ready(store);
    await start(store, 'job');
    const instances = Array.from({ length: 20 }, (_, i) => instanceId(`claimer${i}`));
    const leases = await Promise.all(instances.map((instance) => leaseOf(store, instance)));
    const told_ = await Promise.all(instances.map((instance, i) => claim(store, 'job', leases[i] ?? 0, { instance })));
    const codes = told_.map(refusal);
    expect(codes.filter((code) => code === 'not refused')).toHaveLength(1);
    expect(codes.filter((code) => code === 'PAM_JOB_FENCED')).toHaveLength(19);
  });

  on('twenty records of one account: one claims it, and the others say whose it is', async () => {
    const store = await engine.fresh();
    const names = Array.from({ length: 20 }, (_, i) => `user${i}`);
    const under = await ready(store, names);
    for (const name of names) await start(store, `job-${name}`, { record: itemUid(name) });
    const codes = (await Promise.all(names.map((name) => claim(store, `job-${name}`, under)))).map(refusal);
    expect(codes.filter((code) => code === 'not refused')).toHaveLength(1);
    expect(codes.filter((code) => code === 'PAM_ACCOUNT_SHARED')).toHaveLength(19);
    const { jobs } = await store.rotation.listJobs({ state: 'ended', limit: 50 });
    expect(jobs.map((job) => job.why)).toEqual(Array.from({ length: 19 }, () => 'account-shared'));
  });

  on('the same key answers what it answered, and changes nothing again', async () => {
    const store = await engine.fresh();
    const under = await ready(store);
    await start(store, 'job');
    const { claimed } = kept(await claim(store, 'job', under));
    expect(kept(await claim(store, 'job', under)).claimed.epoch).toBe(claimed.epoch);
    const by = run(store, 'job', claimed.epoch);
    expect([await by.stage(), await by.stage()]).toEqual([{ version: 1 }, { version: 1 }]);
    kept(await by.permit());
    const wrote = { kind: 'wrote', send: 1, outcome: 'unknown' } as const;
    expect([await by.report(wrote, 'report-1'), await by.report(wrote, 'report-1')]).toEqual([{}, {}]);
    const { versions, account: known } = await store.rotation.readRotation({ record: itemUid('user'), nowMs });
    expect([versions.length, known?.send]).toEqual([2, 1]);
    const shown = await store.rotation.readJob({ job: jobId('job') });
    expect(shown?.entries.map((entry) => entry.what)).toEqual([
      ...['ordered', 'claimed', 'staged', 'permitted', 'wrote: unknown'],
    ]);
  });

  on('a permit is never given twice: asked again under its key it has a number of its own', async () => {
    const store = await engine.fresh();
    const under = await ready(store);
    await start(store, 'job');
    const by = run(store, 'job', kept(await claim(store, 'job', under)).claimed.epoch);
    kept(await by.stage());
    expect([await by.permit(6), await by.permit(6)]).toEqual([{ send: 7 }, { send: 8 }]);
    expect(await by.permit(0, 'permit-02')).toEqual({ send: 9 });
  });

  on('who lost the job is told so, whatever it was answered before', async () => {
    const store = await engine.fresh();
    const under = await ready(store);
    await start(store, 'job');
    const by = run(store, 'job', kept(await claim(store, 'job', under)).claimed.epoch);
    kept(await by.stage());
    const { send } = kept(await by.permit());
    const wrote = { kind: 'wrote', send, outcome: 'unknown' } as const;
    kept(await by.report(wrote, 'report-1'));
    const [seen] = await store.rotation.listHeldLeases({});
    if (seen === undefined) throw new Error('no lease is seen');
    await store.rotation.giveLeaseAway({ ...seen, nowMs });
    const again = async () => [await by.stage(), await by.permit(), await by.report(wrote, 'report-1')].map(refusal);
    const fenced = Array.from({ length: 3 }, () => 'PAM_JOB_FENCED');
    expect(await again()).toEqual(fenced);
    kept(await claim(store, 'job', await leaseOf(store, two), { instance: two }));
    expect(await again()).toEqual(fenced);
  });

  on('a lease that moved is not given away; one that did not is, and its jobs go on elsewhere', async () => {
    const store = await engine.fresh();
    const under = await ready(store);
    await start(store, 'job');
    const first = kept(await claim(store, 'job', under)).claimed;
    const by = run(store, 'job', first.epoch);
    kept(await by.stage());
    const [seen] = await store.rotation.listHeldLeases({});
    if (seen === undefined) throw new Error('no lease is seen');
    await store.rotation.renewLease({ instance: one, gateway: gatewayUid(), lease: under, after: under, nowMs });
    expect(await store.rotation.giveLeaseAway({ ...seen, nowMs })).toEqual([]);
    const freed = await store.rotation.giveLeaseAway({ ...seen, renewals: seen.renewals + 1, nowMs });
    expect(freed).toEqual([jobId('job')]);
    const renewal = { instance: one, gateway: gatewayUid(), lease: under, after: under, nowMs };
    expect(await store.rotation.renewLease(renewal)).toEqual({ lost: true });
    expect(refusal(await by.permit())).toBe('PAM_JOB_FENCED');
    expect(refusal(await claim(store, 'job', under))).toBe('PAM_LEASE_LOST');
    const next = kept(await claim(store, 'job', await leaseOf(store, two), { instance: two })).claimed;
    expect(next).toMatchObject({ step: 'intent', candidate: 1, base: 1, current: 0 });
    expect(next.epoch).toBeGreaterThan(first.epoch);
    expect(next.versions.map((version) => version.n)).toEqual([1, 0]);
    expect(refusal(await by.permit())).toBe('PAM_JOB_FENCED');
    expect(kept(await run(store, 'job', next.epoch, two).permit())).toEqual({ send: 1 });
  });

  on('a question for a lease that was lost on the way takes nothing from what was given since', async () => {
    const store = await engine.fresh();
    const under = await ready(store);
    await start(store, 'job');
    const { epoch } = kept(await claim(store, 'job', under)).claimed;
    expect(await leaseOf(store, one)).toBe(under);
    kept(await run(store, 'job', epoch).stage());
    // Who knows of it and asks for another one says that nothing runs under it.
    expect(await leaseOf(store, one, under)).toBe(under + 1);
    expect(refusal(await run(store, 'job', epoch).permit())).toBe('PAM_JOB_FENCED');
  });

  on('an edit during a rotation is not written over', async () => {
    const store = await engine.fresh();
    const under = await ready(store);
    await start(store, 'job');
    const { claimed } = kept(await claim(store, 'job', under));
    const by = run(store, 'job', claimed.epoch);
    kept(await by.stage());
    const { send } = kept(await by.permit());
    kept(await by.report({ kind: 'wrote', send, outcome: 'applied' }, 'report-1'));
    kept(await by.report({ kind: 'verified', version: 1, send }, 'report-2'));
    const edit = record('user', { type: 'pamUser', parts: { secrets: sealedPart(2, 'edited') } });
    await store.vault.putItems({ items: [edit], author: 'bert', nowMs });
    expect(kept(await by.promote()).answer).toEqual({ kind: 'edited', rev: 2 });
    expect(await secretsOf(store)).toEqual(sealedPart(2, 'edited'));
    kept(await by.finish('attention'));
    expect(await codeOf(start(store, 'again'))).toBe('PAM_ROTATION_ATTENTION');
    const check = await start(store, 'check', { kind: 'check' });
    expect(check.state).toBe('queued');
  });

  on('a decision ends attention: the version named is the vault’s next secrets', async () => {
    const store = await engine.fresh();
    const under = await ready(store);
    await start(store, 'job');
    const { claimed } = kept(await claim(store, 'job', under));
    const by = run(store, 'job', claimed.epoch);
    kept(await by.stage());
    kept(await by.permit());
    kept(await by.finish('attention'));
    const resolve = (version: number | null, secrets: PartEnvelope | null): Promise<Item> =>
      store.rotation.resolveRotation({ record: itemUid('user'), version, secrets, author: 'anna', nowMs });
    expect(await codeOf(resolve(1, null))).toBe('PAM_CONFLICT');
    expect(await codeOf(resolve(1, sealedPart(3)))).toBe('PAM_CONFLICT');
    expect((await resolve(1, sealedPart(2, 'chosen'))).parts.secrets).toEqual(sealedPart(2, 'chosen'));
    const known = await store.rotation.readRotation({ record: itemUid('user'), nowMs });
    expect(known.account).toMatchObject({ attention: null, current: 2 });
    expect(known.versions.map(({ n, state }) => [n, state])).toEqual([
      [2, 'adopted'],
      [1, 'candidate'],
      [0, 'adopted'],
    ]);
    expect((await start(store, 'again')).state).toBe('queued');
  });

  on('logins are bought from one budget, by whoever asks', async () => {
    const store = await engine.fresh();
    const by = await promoted(store);
    kept(await by.finish());
    const ask = (id: string, act: 'take' | 'return', instance = one) =>
      store.rotation.takeLogin({ job: jobId('job'), account, id: id.padEnd(8, '_'), act, instance, nowMs });
    const taken = await Promise.all(
      Array.from({ length: 10 }, (_, i) => ask(`login${i}`, 'take', i % 2 === 0 ? one : two)),
    );
    expect(taken.filter((answer) => answer.granted)).toHaveLength(2);
    const granted = taken.findIndex((answer) => answer.granted);
    await ask(`login${granted}`, 'return');
    expect(await ask('more', 'take')).toEqual({ granted: true, inMs: 0 });
    expect(await ask('evenmore', 'take')).toEqual({ granted: false, inMs: 30 * 60_000 });
  });

  on('cancelled before the first permit a job ends, afterwards it is asked to stop', async () => {
    const store = await engine.fresh();
    const under = await ready(store, ['user', 'other']);
    await start(store, 'job');
    await start(store, 'other', { record: itemUid('other') });
    const first = kept(await claim(store, 'job', under)).claimed;
    const second = kept(await claim(store, 'other', under, { account: hash('other') })).claimed;
    const by = run(store, 'other', second.epoch);
    kept(await by.stage());
    kept(await by.permit());
    expect(await store.rotation.cancelJob({ job: jobId('job'), nowMs })).toMatchObject({ state: 'cancelled' });
    expect(refusal(await run(store, 'job', first.epoch).stage())).toBe('PAM_JOB_ENDED');
    expect(await store.rotation.cancelJob({ job: jobId('other'), nowMs })).toMatchObject({
      ...{ state: 'running', cancelAsked: true },
    });
    expect(await codeOf(store.rotation.cancelJob({ job: jobId('job'), nowMs }))).toBe('PAM_JOB_ENDED');
    expect(await codeOf(store.rotation.cancelJob({ job: jobId('nope'), nowMs }))).toBe('PAM_NOT_FOUND');
  });

  on('the fourth claim without progress is poison, and needs a decision', async () => {
    const store = await engine.fresh();
    await ready(store);
    await start(store, 'job');
    for (let i = 0; i < 3; i += 1) {
      kept(await claim(store, 'job', await leaseOf(store, one)));
      await store.rotation.releaseLease({ instance: one, lease: null, nowMs });
    }
    expect(refusal(await claim(store, 'job', await leaseOf(store, one)))).toBe('PAM_JOB_POISON');
    expect(await store.rotation.getJob({ job: jobId('job') })).toMatchObject({ state: 'attention', why: 'poison' });
    expect(await codeOf(start(store, 'again'))).toBe('PAM_ROTATION_ATTENTION');
    expect(await store.rotation.countJobs({})).toEqual([{ gateway: gatewayUid(), state: 'attention', count: 1 }]);
    // Nobody can decide about a record that is gone: the alert ends with it.
    await store.vault.removeItem({ uid: itemUid('user'), nowMs });
    expect(await store.rotation.countJobs({})).toEqual([]);
  });

  on('of a server, one scheduled run at once, and so many that were ordered', async () => {
    const store = await engine.fresh();
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    const under = await ready(store, names);
    for (const name of names) await start(store, `job-${name}`, { record: itemUid(name) });
    const take = (name: string) => claim(store, `job-${name}`, under, { account: hash(name), orderedAtOnce: 2 });
    const first = kept(await take('a')).claimed;
    kept(await take('b'));
    expect(refusal(await take('c'))).toBe('PAM_JOB_BUSY');
    expect(await store.rotation.getJob({ job: jobId('job-c') })).toMatchObject({
      ...{ state: 'waiting', why: 'target-busy', attempts: 0 },
    });
    for (const name of ['d', 'e', 'f', 'g']) expect(refusal(await take(name))).toBe('PAM_JOB_BUSY');
    expect(await store.rotation.listOffered({ nowMs, gateway: null, each: 10 })).toEqual([]);
    kept(await run(store, 'job-a', first.epoch).finish('failed'));
    // Four of the five that wait, the oldest: all of a long queue would be opened for the one place.
    expect((await store.rotation.listOffered({ nowMs, gateway: null, each: 10 })).map((each) => each.job)).toEqual(
      ['c', 'd', 'e', 'f'].map((name) => jobId(`job-${name}`)),
    );
    kept(await take('c'));
  });

  on('given back, a job is offered when its time comes, and goes on from its step', async () => {
    const store = await engine.fresh();
    const under = await ready(store);
    await start(store, 'job');
    const { claimed } = kept(await claim(store, 'job', under));
    const by = run(store, 'job', claimed.epoch);
    kept(await by.stage());
    expect([await by.wait(5_000), await by.wait(5_000)]).toEqual([{}, {}]);
    expect(await store.rotation.listOffered({ nowMs: nowMs + 4_999, gateway: null, each: 10 })).toEqual([]);
    expect(await store.rotation.getJob({ job: jobId('job') })).toMatchObject({ notBeforeMs: nowMs + 5_000 });
    expect(await store.rotation.listOffered({ nowMs: nowMs + 5_000, gateway: gatewayUid(), each: 10 })).toHaveLength(1);
    expect(kept(await claim(store, 'job', under)).claimed).toMatchObject({ step: 'intent', candidate: 1 });
  });

  on('a schedule is kept with the item, comes due once, and is made up for once after an outage', async () => {
    const store = await engine.fresh();
    await ready(store, ['admin']);
    const config = record('config', {
      type: 'pamNetworkConfiguration',
      mirror: { ...emptyMirror, gateway: gatewayUid() },
    });
    const host = record('host', { mirror: { ...emptyMirror, configuration: itemUid('config') } });
    const hourly = { kind: 'cron', cron: '0 * * * *', tz: 'UTC' } as const;
    const timed = (rev: number, change: object = {}) =>
      record('user', {
        type: 'pamUser',
        mirror: { ...emptyMirror, rotation: { schedule: hourly, resource: itemUid('host') }, ...change },
        parts: { facts: sealedPart(rev), secrets: sealedPart(rev) },
      });
    // A gateway is no item of this store: the link to it is not looked at here.
    const put = (item: ReturnType<typeof record>): Promise<unknown> =>
      store.vault.putItems({ items: [item], author: 'anna', nowMs });
    await put(record(gatewayUid(), { type: 'gateway' }));
    await put(config);
    await put(host);
    await put(timed(1));
    const hourMs = 3_600_000;
    const dueAtMs = Math.floor(nowMs / hourMs) * hourMs + hourMs;
    const due = (at: number) => store.rotation.listDue({ nowMs: at, limit: 10 });
    expect((await due(dueAtMs - 1)).schedules).toEqual([]);
    const lateMs = dueAtMs + 3 * hourMs + 60_000;
    expect((await due(lateMs)).schedules).toEqual([{ record: itemUid('user'), dueAtMs }]);
    const both = await Promise.all(
      ['s1', 's2'].map((job) =>
        store.rotation.runSchedule({ record: itemUid('user'), dueAtMs, job: jobId(job), spreadMs: 7, nowMs: lateMs }),
      ),
    );
    const came = both.filter((each) => each !== null);
    expect(came).toMatchObject([{ dueAtMs: dueAtMs + 3 * hourMs, skipped: 3 }]);
    expect((await due(lateMs)).schedules).toEqual([]);
    const { jobs } = await store.rotation.listJobs({ state: 'all', limit: 10 });
    expect(jobs).toHaveLength(1);
    expect(jobs[0]).toMatchObject({ dueAtMs: dueAtMs + 3 * hourMs, gateway: gatewayUid(), order: null });
    // Written again unchanged it keeps its time; the next falls due while the job is open, and stands as missed.
    await put(timed(2));
    const nextMs = dueAtMs + 4 * hourMs;
    const next = { record: itemUid('user'), dueAtMs: nextMs, job: jobId('s3'), spreadMs: 0, nowMs: nextMs };
    expect(await store.rotation.runSchedule(next)).toMatchObject({ job: null, dueAtMs: nextMs });
    expect(await store.rotation.getJob({ job: jobId('s3') })).toMatchObject({ state: 'failed', why: 'missed' });
    const troubles = (dueBeforeMs: number) => store.rotation.countTroubles({ dueBeforeMs });
    const missed = { gateway: gatewayUid(), what: 'missed', count: 1 };
    expect(await troubles(dueAtMs + 3 * hourMs)).toEqual([missed]);
    expect(await troubles(dueAtMs + 3 * hourMs + 1)).toEqual([missed, { ...missed, what: 'late' }]);
    await put(timed(3, { rotation: null }));
    expect(await troubles(0)).toEqual([]);
    expect((await due(nextMs + 9 * hourMs)).schedules).toEqual([]);
    const nonsense = { schedule: { kind: 'cron', cron: '99 99 * * *', tz: 'UTC' }, resource: null };
    expect(await codeOf(put(timed(4, { rotation: nonsense })))).toBe('PAM_BAD_REQUEST');
  });

  on('re-checks come when they are due, unless the account was rotated since', async () => {
    const store = await engine.fresh();
    const by = await promoted(store);
    kept(await by.finish('done', [60_000, 900_000]));
    expect((await store.rotation.listDue({ nowMs: nowMs + 59_999, limit: 10 })).rechecks).toEqual([]);
    const [first] = (await store.rotation.listDue({ nowMs: nowMs + 60_000, limit: 10 })).rechecks;
    const check = { id: first ?? '', job: jobId('check'), nowMs: nowMs + 60_000 };
    expect(await store.rotation.runRecheck(check)).toBe(jobId('check'));
    expect(await store.rotation.runRecheck(check)).toBeNull();
    expect(await store.rotation.getJob({ job: jobId('check') })).toMatchObject({ kind: 'check', order: null });
    // The second one finds the first at work, and comes again.
    const second = { id: `${jobId('job')}.1`, job: jobId('late'), nowMs: nowMs + 900_000 };
    expect(await store.rotation.runRecheck(second)).toBeNull();
    expect((await store.rotation.listDue({ nowMs: nowMs + 960_000, limit: 10 })).rechecks).toEqual([second.id]);
  });
});
