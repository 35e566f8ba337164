import type { AuditEvent, Item, ItemUid, JobId, JobView, PamError, WireError } from '@sallyport/protocol';
import { beforeAll, expect, test, vi } from 'vitest';
import { claim, type Operator, uid } from '../support/operator.ts';
import { newUser, order, promoteFrom, rotationGround, sendOrder, signedOrder, worker } from '../support/rotations.ts';
import { freshRouter, patientTiming } from '../support/router.ts';
import { member, type ScriptedInstance, scriptedInstance } from '../support/scripted-instance.ts';

/** Leases short enough to be given away while one watches; nothing is measured. */
const timing = { ...patientTiming, leaseMs: 1_000, fenceMs: 400, renewalMs: 50, quiesceMs: 20, effectMs: 20 };
const router = await freshRouter({ timing });
let operator: Operator;
let ground: Awaited<ReturnType<typeof rotationGround>>;
const until = { timeout: 50_000, interval: 20 };

beforeAll(async () => {
  operator = await claim(router);
  // More than join in this file: whoever left keeps his slot for a while, and a standby takes nothing.
  ground = await rotationGround(operator, 16);
});

const joined = (): Promise<ScriptedInstance> => member(router, operator, ground.pool);
const user = (): Promise<Item> => newUser(operator, ground.keys, ground.host.uid);
const view = async (job: JobId) =>
  operator.must<{ job: JobView; entries: { what: string }[] }>('GET', `/v1/jobs/${job}`);
const codeOf = async (work: Promise<unknown>): Promise<string> => {
  const [only] = await Promise.allSettled([work]);
  return only.status === 'rejected' ? (only.reason as PamError).code : 'nothing was thrown';
};
/** Whoever is offered this job. */
async function takerOf(job: JobId, among: readonly ScriptedInstance[]): Promise<ScriptedInstance> {
  return vi.waitFor(() => {
    const taker = among.find((each) => each.offered.some((offer) => offer.job === job));
    if (taker === undefined) throw new Error('nobody was offered the job');
    return taker;
  }, until);
}

test('a job is ordered, waits for somebody, is offered, and goes through to the record', async () => {
  const record = await user();
  const { job } = await order(operator, ground.pool, record.uid);
  await vi.waitFor(async () => {
    expect((await view(job)).job).toMatchObject({ state: 'waiting', why: 'no-instance' });
  }, until);
  const one = await joined();
  expect(await takerOf(job, [one])).toBe(one);
  const [offer] = one.offered;
  expect(offer?.items.map((item) => item.uid)[0]).toBe(record.uid);
  const by = await worker(one);
  const claimed = await by.claim(job);
  expect(claimed).toMatchObject({ step: 'new', base: 1, current: 0, candidate: null });
  await promoteFrom(by.at(job, claimed.epoch), claimed);
  await by.at(job, claimed.epoch).finish();
  const { job: shown, entries } = await view(job);
  expect(shown).toMatchObject({ state: 'done', why: 'rotated', instances: [one.identity.id] });
  expect(entries.at(-1)?.what).toBe('done');
  const { item } = await operator.must<{ item: Item }>('GET', `/v1/items/${record.uid}`);
  expect(item.parts.secrets).toMatchObject({ rev: 2 });
  const known = await operator.must<{ versions: unknown[] }>('GET', `/v1/items/${record.uid}/rotation`);
  expect(known.versions).toHaveLength(2);
  one.close();
});

test('an order must be for what it is sent with, by the device that sends it', async () => {
  const record = await user();
  const job = uid<JobId>();
  const of = { job, pool: ground.pool, record: record.uid };
  const send = async (signed: string, change: object = {}): Promise<string> => {
    const body = { job, kind: 'rotate', gateway: ground.pool.gateway, record: record.uid, order: signed, ...change };
    return codeOf(sendOrder(operator, body));
  };
  const good = await signedOrder(operator, of);
  expect(await send(good, { kind: 'check' })).toBe('PAM_ORDER_INVALID');
  expect(await send(good, { job: uid() })).toBe('PAM_ORDER_INVALID');
  expect(await send(good, { record: ground.host.uid })).toBe('PAM_BAD_REQUEST');
  expect(await send(good, { record: uid() })).toBe('PAM_NOT_FOUND');
  expect(await send(good, { gateway: uid() })).toBe('PAM_NOT_FOUND');
  expect(await send(await signedOrder(operator, of, { act: 'check' }))).toBe('PAM_ORDER_INVALID');
  expect(await send(good)).toBe('nothing was thrown');
  expect(await send(good)).toBe('nothing was thrown');
  expect(await codeOf(order(operator, ground.pool, record.uid))).toBe('PAM_JOB_BUSY');
  await operator.must('POST', `/v1/jobs/${job}/cancel`, {}, true);
});

test('many orders in one call: one that is refused keeps no other back, and one signed event names them', async () => {
  const [good, busy] = [await user(), await user()];
  const { job: before } = await order(operator, ground.pool, busy.uid);
  const one = async (record: ItemUid): Promise<Record<string, string>> => {
    const job = uid<JobId>();
    const signed = await signedOrder(operator, { job, pool: ground.pool, record });
    return { job, kind: 'rotate', gateway: ground.pool.gateway, record, order: signed };
  };
  const orders = [await one(uid()), await one(busy.uid), await one(good.uid)];
  type Results = { results: { job?: JobView; error?: WireError }[] };
  const { results } = await operator.must<Results>('POST', '/v1/jobs', { orders }, true);
  expect(results.map(({ job, error }) => error?.code ?? job?.record)).toEqual([
    ...['PAM_NOT_FOUND', 'PAM_JOB_BUSY', good.uid],
  ]);
  const { events } = await operator.must<{ events: AuditEvent[] }>('GET', '/v1/audit?order=newest');
  const told = events.find(({ kind }) => kind === 'job.ordered');
  const ids = orders.slice(1).map(({ job }) => job);
  expect(JSON.parse(told?.body ?? '')).toMatchObject({ jobs: ids, refused: [ids[0]] });
  expect(told?.actorEvent).not.toBeNull();
  for (const job of [before, results[2]?.job?.job]) await operator.must('POST', `/v1/jobs/${job}/cancel`, {}, true);
  const many = Array.from({ length: 33 }, () => orders[0]);
  expect(await codeOf(operator.must('POST', '/v1/jobs', { orders: many }, true))).toBe('PAM_BAD_REQUEST');
});

test('who refuses is passed over, and what nobody may run fails with why', async () => {
  const [one, two] = [await joined(), await joined()];
  for (const each of [one, two]) {
    each.answerOffer = async () => ({ kind: 'refused', class: 'busy', why: 'none', note: null });
  }
  const record = await user();
  const { job } = await order(operator, ground.pool, record.uid);
  await takerOf(job, [one]);
  await takerOf(job, [two]);
  two.answerOffer = async () => ({ kind: 'refused', class: 'denied', why: 'no-kind', note: null });
  await vi.waitFor(async () => {
    expect((await view(job)).job).toMatchObject({ state: 'failed', why: 'no-kind' });
  }, until);
  one.close();
  two.close();
});

test('a holder that falls silent loses its lease after W; another goes on from the step, and it writes nothing more', async () => {
  const [one, two] = [await joined(), await joined()];
  const record = await user();
  const { job } = await order(operator, ground.pool, record.uid);
  const first = await takerOf(job, [one, two]);
  const second = first === one ? two : one;
  const by = await worker(first);
  const claimed = await by.claim(job, 'b');
  await by.at(job, claimed.epoch).stage();
  first.answerOffer = async () => ({ kind: 'refused', class: 'no-lease', why: 'none', note: null });
  by.fallSilent();
  await takerOf(job, [second]);
  expect(await codeOf(by.renew())).toBe('PAM_LEASE_LOST');
  expect(await codeOf(by.at(job, claimed.epoch).permit())).toBe('PAM_JOB_FENCED');
  expect(await codeOf(by.claim(job, 'b'))).toBe('PAM_LEASE_LOST');
  const next = await worker(second);
  const taken = await next.claim(job, 'b');
  expect(taken).toMatchObject({ step: 'intent', candidate: 1 });
  expect(taken.epoch).toBeGreaterThan(claimed.epoch);
  await promoteFrom(next.at(job, taken.epoch), taken);
  await next.at(job, taken.epoch).finish();
  expect((await view(job)).job).toMatchObject({
    ...{ state: 'done', instances: [first.identity.id, second.identity.id] },
  });
  one.close();
  two.close();
});

test('one that says bye frees its jobs at once, and one that renews keeps them', async () => {
  const [one, two] = [await joined(), await joined()];
  const record = await user();
  const { job } = await order(operator, ground.pool, record.uid);
  const first = await takerOf(job, [one, two]);
  const second = first === one ? two : one;
  const by = await worker(first);
  await by.claim(job, 'c');
  // Three times W, renewed all along: nobody else is asked.
  await new Promise((resolve) => setTimeout(resolve, 3 * timing.leaseMs));
  expect(second.offered.some((offer) => offer.job === job)).toBe(false);
  await first.peer.call('link.bye', { reason: 'stopped' }, { timeoutMs: 60_000 });
  await takerOf(job, [second]);
  expect((await (await worker(second)).claim(job, 'c')).epoch).toBeGreaterThan(0);
  await operator.must('POST', `/v1/jobs/${job}/cancel`, {}, true);
  one.close();
  two.close();
});

test('cancelled before the first permit it ends and its holder is told; afterwards it is asked to stop', async () => {
  const one = await joined();
  const by = await worker(one);
  const records = [await user(), await user()];
  const jobs: JobId[] = [];
  for (const [i, record] of records.entries()) {
    const { job } = await order(operator, ground.pool, record.uid);
    await takerOf(job, [one]);
    const { epoch } = await by.claim(job, ['d', 'e'][i]);
    await by.at(job, epoch).stage();
    if (i === 1) await by.at(job, epoch).permit();
    jobs.push(job);
  }
  const states: unknown[] = [];
  for (const job of jobs) {
    const answer = await operator.must<{ job: JobView }>('POST', `/v1/jobs/${job}/cancel`, {}, true);
    states.push([answer.job.state, answer.job.cancelAsked]);
  }
  expect(states).toEqual([
    ['cancelled', true],
    ['running', true],
  ]);
  await vi.waitFor(() => expect(one.cancelled.map((each) => each.job)).toContain(jobs[1]), until);
  one.close();
});

test('an edit during a rotation stays; the account needs a decision, and the decision ends it', async () => {
  const one = await joined();
  const by = await worker(one);
  const record = await user();
  const { job } = await order(operator, ground.pool, record.uid);
  await takerOf(job, [one]);
  const claimed = await by.claim(job, 'f');
  const at = by.at(job, claimed.epoch);
  const { version } = await at.stage();
  const { send } = await at.permit();
  await at.report({ kind: 'wrote', send, outcome: 'applied' }, 'report-1');
  await at.report({ kind: 'verified', version, send }, 'report-2');
  const mirror = { ...record.mirror };
  const edit = await operator.item(ground.keys, 'pamUser', {
    ...{ uid: record.uid, rev: 2, mirror, facts: { title: 'edited' }, secrets: { password: 'by hand' } },
  });
  const edited = await operator.putItem(edit);
  expect(await at.promote(version)).toEqual({ kind: 'edited', rev: 2 });
  await at.finish('attention', 'record-edited');
  expect(await codeOf(order(operator, ground.pool, record.uid, 2))).toBe('PAM_ROTATION_ATTENTION');
  const path = `/v1/items/${record.uid}/rotation`;
  const known = await operator.must<{ account: { attention: string } }>('GET', path);
  expect(known.account.attention).toBe('record-edited');
  const { item } = await operator.must<{ item: Item }>('POST', `${path}/resolve`, { version: null }, true);
  expect(item.parts.secrets).toEqual(edited.parts.secrets);
  const again = await order(operator, ground.pool, record.uid, 2);
  expect(again.view.state).toBe('queued');
  await operator.must('POST', `/v1/jobs/${again.job}/cancel`, {}, true);
  one.close();
});

test('kinds are what the next ready instance says', async () => {
  const one = await joined();
  const answer = await operator.must('GET', `/v1/gateways/${ground.pool.gateway}/kinds`);
  expect(answer).toEqual({ instance: one.identity.id, kinds: [] });
  one.close();
});

test('a router that is gone in mid-job finds it where it was, under the same lease and epoch', async () => {
  const first = await freshRouter({ timing });
  const own = await claim(first, 'bert');
  const { pool, user: record } = await rotationGround(own);
  const one = await member(first, own, pool);
  const by = await worker(one);
  const { job } = await order(own, pool, record.uid);
  await takerOf(job, [one]);
  const claimed = await by.claim(job);
  await by.at(job, claimed.epoch).stage();
  await first.stop();
  const second = await freshRouter({ timing, dataDir: first.dataDir });
  const back = await scriptedInstance(second, own, pool, one.identity);
  await back.hello();
  const on = { job, epoch: claimed.epoch };
  await back.peer.call('lease.renew', { lease: by.lease, after: by.lease }, { timeoutMs: 60_000 });
  const note = { gen: 1, envelope: 'n'.repeat(32) };
  const permit = { ...on, key: 'permit-01', mark: 0, address: note };
  expect(await back.peer.call('job.permit', permit, { timeoutMs: 60_000 })).toEqual({ send: 1 });
  // Asked again it is another one: a number that may have been written under is never given twice (ADR 0014).
  expect(await back.peer.call('job.permit', permit, { timeoutMs: 60_000 })).toEqual({ send: 2 });
});
