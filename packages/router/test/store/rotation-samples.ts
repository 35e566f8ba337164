import { type JobId, PamError, type WriteItem } from '@sallyport/protocol';
import type { NewJob, Refused, RotationStore, StoredJob } from '../../src/rotation/index.ts';
import type { Store } from '../../src/store/index.ts';
import { testNowMs } from './engines-time.ts';
import {
  appUid,
  application,
  gatewayUid,
  hash,
  instanceId,
  itemUid,
  personUid,
  record,
  sealedPart,
} from './samples.ts';

/** An account, the record of its secret, and an instance that rotates it: what the store's tests of rotation stand on. */
export const user = itemUid('user');
export const account = hash('account');
export const server = hash('server');
export const one = instanceId('one');
export const jobId = (text: string): JobId => text.padEnd(22, '_') as JobId;
export const note = { gen: 1, envelope: 'note'.padEnd(32, '_') };
/** Told to the audit log with an act: nothing. */
export const noEvents = { router: 'router', start: 1, events: [] };

export const userRecord = (name = 'user'): WriteItem =>
  record(name, { type: 'pamUser', parts: { facts: sealedPart(1), secrets: sealedPart(1, 'first') } });

export const newOrder = (job: string, change: Partial<NewJob> = {}): NewJob => ({
  ...{ job: jobId(job), kind: 'rotate', record: user, app: appUid(), gateway: gatewayUid() },
  ...{ order: 'order'.padEnd(32, '_'), person: personUid(), carryFrom: null, nowMs: testNowMs },
  ...change,
});

type Claim = Parameters<RotationStore['claimJob']>[0];
/** A claim under a lease of `one`, at a server that takes one job of a schedule and eight that were ordered. */
export const claimOf = (job: string, lease: number, change: Partial<Claim> = {}): Claim => ({
  ...{ job: jobId(job), lease, account, server, instance: one, nowMs: testNowMs },
  ...{ scheduledAtOnce: 1, orderedAtOnce: 8 },
  ...change,
});

/** Stores the application and these users. */
export async function putUsers(store: Store, names: readonly string[] = ['user'], nowMs = testNowMs): Promise<void> {
  await store.vault.putItems({ items: [application()], author: 'anna', nowMs });
  await store.vault.putItems({ items: names.map(userRecord), author: 'anna', nowMs });
}

/** A new lease of an instance; -1 when it was refused one. */
export async function leaseOf(store: Store, instance = one, after = 0, nowMs = testNowMs): Promise<number> {
  const answer = await store.rotation.renewLease({ instance, gateway: gatewayUid(), lease: null, after, nowMs });
  return 'lease' in answer ? answer.lease : -1;
}

/** Stores one order; throws what it was refused with. */
export async function startOne(store: Store, order: NewJob): Promise<StoredJob> {
  const { results } = await store.rotation.startJobs({ orders: [order], told: noEvents });
  const [only] = results;
  if (only !== undefined && 'job' in only) return only.job;
  throw new PamError(only?.error.code ?? 'PAM_INTERNAL', only?.error.message ?? 'no answer', {
    ...(only === undefined ? {} : { detail: only.error.detail }),
  });
}

/** An answer that was no refusal. */
export function kept<Answer extends object>(answer: Answer | Refused): Answer {
  if ('refused' in answer) throw new Error(`${answer.refused}: ${answer.why}`);
  return answer;
}
