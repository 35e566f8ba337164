import { deviceIdSchema, type ItemUid, jobIdSchema, PamError } from '@sallyport/protocol';
import { type CandidateProof, type LogState, orderLifeSeconds, signOrder, signStandingOrder } from '@sallyport/seal';
import { appendEntry, freshUid, honestInstallation } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { decideLapsed } from './execute/lapsed-order.ts';
import { allowJob, readOrder } from './job-order.ts';

// 2027-01-15 08:00:00 UTC.
const now = 1_800_000_000;
const day = 86_400;
const honest = await honestInstallation(now);
const { device, pool, log, app } = honest;
const record = freshUid() as ItemUid;
const job = jobIdSchema.parse(freshUid());
const iss = deviceIdSchema.parse(device.id);
const order = await signOrder(
  {
    ...{ iss, aud: `gateway:${pool.uid}`, jti: 'j'.repeat(22), iat: now, exp: now + orderLifeSeconds },
    ...{ act: 'rotate', job, record, base: 6, revs: { [record]: 2 }, head: log.head },
  },
  device,
);
const schedule = { kind: 'cron', cron: '0 9 * * *', tz: 'UTC' } as const;
const standing = await signStandingOrder(
  { iss, app, gateway: pool.uid, record, schedule, iat: now, head: log.head },
  device,
);
const dueAtMs = (now + 3_600) * 1_000;
const removed = (await appendEntry([], log, { kind: 'device-removed', device: iss }, honest.person.signKey, now)).log;

const at = (seconds: number) => ({ app, gateway: pool.uid, nowMs: () => seconds * 1_000 });
const ordered = { order, job, record, kind: 'rotate', dueAtMs: null } as const;
const scheduled = { order: null, job, record, kind: 'rotate', dueAtMs } as const;

async function outcome(
  offer: typeof ordered | typeof scheduled | (Omit<typeof ordered, 'kind'> & { kind: 'check' }),
  seconds: number,
  known: LogState = log,
  kept: string | null = standing,
): Promise<string> {
  try {
    const read = await readOrder(offer, at(seconds), known);
    const allowed = await allowJob(offer, read, { standing: kept, secretsProof: async () => null }, at(seconds), known);
    return allowed.lapsed ?? (allowed.proof === null ? 'nothing is written' : 'holds');
  } catch (reason) {
    if (reason instanceof PamError) return `${reason.code} ${String(reason.detail['why'])}`;
    throw reason;
  }
}

test('an order holds for a day; what was begun under it is finished for a week more', async () => {
  expect(await outcome(ordered, now + day)).toBe('holds');
  expect(await outcome(ordered, now + day + 61)).toBe('order-spent');
  expect(await outcome(ordered, now + 8 * day)).toBe('order-spent');
  expect(await outcome(ordered, now + 8 * day + 1)).toBe('PAM_ORDER_SPENT expired');
  expect(await outcome(ordered, now + 1, removed)).toBe('order-invalid');
});

test('an order that lapsed is none for anything else: another gateway, another job, a mere check', async () => {
  const elsewhere = { ...at(now + 2 * day), gateway: honest.otherPool.uid };
  await expect(readOrder(ordered, elsewhere, log)).rejects.toMatchObject({ code: 'PAM_ORDER_INVALID' });
  const other = { ...ordered, job: jobIdSchema.parse(freshUid()) };
  await expect(readOrder(other, at(now + 2 * day), log)).rejects.toMatchObject({ code: 'PAM_ORDER_INVALID' });
  expect(await outcome({ ...ordered, kind: 'check' }, now + 2 * day)).toBe('PAM_ORDER_SPENT expired');
});

test('an occurrence is begun for a week; what was begun is finished for a week more, though the schedule be gone', async () => {
  const due = now + 3_600;
  expect(await outcome(scheduled, due - 61)).toBe('order-invalid');
  expect(await outcome(scheduled, due)).toBe('holds');
  expect(await outcome(scheduled, due + 7 * day)).toBe('holds');
  expect(await outcome(scheduled, due + 7 * day + 1)).toBe('order-invalid');
  expect(await outcome(scheduled, due + 14 * day + 1)).toBe('PAM_ORDER_INVALID order-invalid');
  expect(await outcome(scheduled, due, log, null)).toBe('order-invalid');
  expect(await outcome(scheduled, due, removed)).toBe('order-invalid');
});

test('a secret sealed after the order ended would open for nobody: its end is known', async () => {
  const read = await readOrder(ordered, at(now), log);
  const allowed = await allowJob(ordered, read, { standing: null, secretsProof: async () => null }, at(now), log);
  expect(allowed).toEqual({ proof: { order }, proofEndsMs: (now + day) * 1_000, lapsed: null });
});

test('[R10] what a rotation left is removed without an order while the rotation may be finished, by the order in its secret', async () => {
  const retire = { order: null, job, record, kind: 'retire', dueAtMs: null } as const;
  const allow = (secretsProof: CandidateProof | null, seconds: number) =>
    allowJob(retire, null, { standing: null, secretsProof: async () => secretsProof }, at(seconds), log).then(
      ({ proof }) => proof,
      (reason: PamError) => reason.detail['why'],
    );
  expect(await allow({ order }, now)).toBeNull();
  expect(await allow({ order }, now + 8 * day)).toBeNull();
  expect(await allow({ order }, now + 8 * day + 1)).toBe('order-spent');
  const due = now + 3_600;
  expect(await allow({ standing, dueAtMs }, due + 14 * day)).toBeNull();
  expect(await allow({ standing, dueAtMs }, due + 14 * day + 1)).toBe('order-spent');
  // A person set it: nobody has ordered that anything goes.
  expect(await allow(null, now)).toBe('order-invalid');
});

test('a job whose order lapsed goes on with the candidate that was sealed in time, and begins nothing', () => {
  const written = [{ send: 3, version: 1, outcome: null }];
  expect(decideLapsed(null, { candidateOpens: false, sends: [] })).toBeNull();
  expect(decideLapsed('order-spent', { candidateOpens: true, sends: written })).toBeNull();
  expect(decideLapsed('order-spent', { candidateOpens: false, sends: [] })).toEqual({
    ...{ outcome: 'failed', why: 'order-spent' },
  });
  expect(decideLapsed('order-spent', { candidateOpens: false, sends: written })).toMatchObject({
    outcome: 'attention',
  });
  const refused = [{ send: 3, version: 1, outcome: 'policy' as const }];
  expect(decideLapsed('order-spent', { candidateOpens: false, sends: refused })).toMatchObject({ outcome: 'failed' });
});
