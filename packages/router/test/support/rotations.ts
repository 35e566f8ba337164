import {
  type Item,
  type ItemUid,
  type JobId,
  type JobView,
  type LinkParams,
  type LinkResult,
  PamError,
  type WireError,
} from '@sallyport/protocol';
import { type JsonValue, signOrder } from '@sallyport/seal';
import { type AppKeys, inherit, nowSeconds, type Operator, off, type PoolKeys, uid } from './operator.ts';
import type { ScriptedInstance } from './scripted-instance.ts';

/** What a rotation needs: an application, a pool, a configuration, a resource with a credential, and a user on it. */
export async function rotationGround(operator: Operator, maxInstances = 3) {
  const keys = await operator.newApplication('app');
  const pool = await operator.newGateway(keys, 'gateway', maxInstances);
  const config = await put(operator, keys, 'pamNetworkConfiguration', {
    mirror: { gateway: pool.gateway, configuration: null, credentials: [], permissions: { ...off, rotation: 'on' } },
  });
  const admin = await put(operator, keys, 'pamUser', { secrets: { password: 'admin' } });
  const host = await put(operator, keys, 'pamDatabase', {
    mirror: { gateway: null, configuration: config.uid, credentials: [admin.uid], permissions: inherit },
  });
  const user = await newUser(operator, keys, host.uid);
  return { keys, pool, config, admin, host, user };
}

export async function newUser(operator: Operator, keys: AppKeys, resource: ItemUid, rotation?: object): Promise<Item> {
  const mirror = { gateway: null, configuration: null, credentials: [], permissions: inherit };
  return put(operator, keys, 'pamUser', {
    mirror: rotation === undefined ? mirror : { ...mirror, rotation: { ...rotation, resource } as never },
    secrets: { password: 'first' },
  });
}

type PutOf = Partial<Parameters<Operator['item']>[2]>;
async function put(operator: Operator, keys: AppKeys, type: Item['type'], of: PutOf): Promise<Item> {
  const mirror = { gateway: null, configuration: null, credentials: [], permissions: inherit };
  return operator.putItem(await operator.item(keys, type, { mirror, facts: { title: type }, ...of }));
}

/** Signs an order as `pam` does; `change` bends its claims. */
export async function signedOrder(
  operator: Operator,
  of: { readonly job: JobId; readonly pool: PoolKeys; readonly record: ItemUid; readonly base?: number },
  change: object = {},
): Promise<string> {
  const iat = nowSeconds();
  return signOrder(
    {
      iss: operator.device.id,
      aud: `gateway:${of.pool.gateway}`,
      jti: uid(),
      ...{ iat, exp: iat + 86_400, act: 'rotate', job: of.job, record: of.record, base: of.base ?? 1 },
      revs: { [of.record]: 1 },
      head: operator.log().head,
      ...change,
    },
    operator.device,
  );
}

/** One order in a call of its own; throws what it was refused with. */
export async function sendOrder(operator: Operator, order: object): Promise<JobView> {
  type Result = { readonly job: JobView } | { readonly error: WireError };
  const { results } = await operator.must<{ results: Result[] }>('POST', '/v1/jobs', { orders: [order] }, true);
  const [only] = results;
  if (only !== undefined && 'job' in only) return only.job;
  throw new PamError(only?.error.code ?? 'PAM_INTERNAL', only?.error.message ?? 'no answer');
}

/** Orders a rotation. */
export async function order(
  operator: Operator,
  pool: PoolKeys,
  record: ItemUid,
  base = 1,
): Promise<{ readonly job: JobId; readonly view: JobView }> {
  const job = uid<JobId>();
  const body = { job, kind: 'rotate', gateway: pool.gateway, record };
  const signed = await signedOrder(operator, { job, pool, record, base });
  return { job, view: await sendOrder(operator, { ...body, order: signed }) };
}

const timeout = { timeoutMs: 60_000 };
const renewEveryMs = 100;
const note = { gen: 1, envelope: 'n'.repeat(32) };

/**
 * Its hold on jobs, as a real instance would speak it, one call after the other. Its lease is renewed all along, as long as its
 * link stands: each step is a write of the store, and on a busy disk a few of them take longer than a short lease.
 */
export async function worker(instance: ScriptedInstance) {
  const { peer } = instance;
  const { lease } = await peer.call('lease.renew', { lease: null, after: 0 }, timeout);
  const renew = () => peer.call('lease.renew', { lease, after: lease }, timeout);
  const renewing = setInterval(() => void renew().catch(() => undefined), renewEveryMs);
  const fallSilent = (): void => clearInterval(renewing);
  void instance.closed.then(fallSilent);
  return {
    lease,
    renew,
    /** From here on the lease is not renewed any more. */
    fallSilent,
    claim: (job: JobId, account = 'a'): Promise<LinkResult<'job.claim'>> =>
      peer.call('job.claim', { job, lease, account: account.repeat(43), server: 's'.repeat(43) }, timeout),
    at: (job: JobId, epoch: number) => ({
      stage: (rev = 2, key = 'stage-01') =>
        peer.call('job.stage', { job, epoch, key, rev, gen: 1, envelope: 'candidate'.padEnd(32, '.') }, timeout),
      permit: (key = 'permit-01') => peer.call('job.permit', { job, epoch, key, mark: 0, address: note }, timeout),
      report: (what: LinkParams<'job.report'>['what'], key: string) =>
        peer.call('job.report', { job, epoch, key, what, note: null }, timeout),
      wait: (inMs: number) => peer.call('job.wait', { job, epoch, inMs, why: 'locked', note: null }, timeout),
      promote: async (version: number) => {
        const params = { job, epoch, version };
        const { jws, sent } = await instance.sign('job.promote', [job], params);
        const answer = await peer.call('job.promote', { ...params, signed: jws }, timeout);
        await sent();
        return answer;
      },
      finish: async (outcome: 'done' | 'attention' = 'done', why: LinkParams<'job.finish'>['why'] = 'rotated') => {
        const params = { job, epoch, outcome, why, note: null, recheckMs: [] } satisfies JsonValue;
        const { jws, sent } = await instance.sign('job.finish', [job], params);
        await peer.call('job.finish', { ...params, recheckMs: [], signed: jws }, timeout);
        await sent();
      },
    }),
  };
}
export type Worker = Awaited<ReturnType<typeof worker>>;

/** A claimed job from its stored step to its promotion. */
export async function promoteFrom(by: ReturnType<Worker['at']>, from: LinkResult<'job.claim'>): Promise<void> {
  const version = from.candidate ?? (await by.stage()).version;
  const { send } = await by.permit('permit-of-' + from.epoch);
  await by.report({ kind: 'wrote', send, outcome: 'applied' }, `report-${from.epoch}-1`);
  await by.report({ kind: 'verified', version, send }, `report-${from.epoch}-2`);
  await by.promote(version);
}
