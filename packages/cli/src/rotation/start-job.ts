import { deviceIdSchema, type ItemUid, type JobView, jobIdSchema, newUid, startJob } from '@sallyport/protocol';
import { orderLifeSeconds, signOrder } from '@sallyport/seal';
import type { Cli } from '../cli.ts';
import { nowSeconds } from '../time/clock.ts';
import type { VaultSession } from '../vault/open-session.ts';
import type { OpenedItem } from '../vault/vault.ts';
import type { RotatedRecord } from './rotated-record.ts';

/** Signs an order over the record as it is now and hands it to the router. */
export async function orderJob(
  cli: Cli,
  session: VaultSession,
  record: RotatedRecord,
  act: JobView['kind'],
): Promise<JobView> {
  const { user, resource, configuration, admin, gateway, named } = record;
  const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
  const job = jobIdSchema.parse(newUid(random));
  const iat = nowSeconds(cli.clock);
  const items: readonly OpenedItem[] = [user, resource, configuration, admin, ...named].filter((one) => one !== null);
  const revs = Object.fromEntries(items.map((item) => [item.uid, item.factsRev])) as Record<ItemUid, number>;
  const order = await signOrder(
    {
      iss: deviceIdSchema.parse(session.device.key.id),
      aud: `gateway:${gateway}`,
      jti: newUid(random),
      iat,
      exp: iat + orderLifeSeconds,
      act,
      job,
      record: user.uid,
      base: user.item.parts.secrets?.rev ?? 0,
      revs,
      head: session.log.state().head,
    },
    session.device.key,
  );
  const body = { job, kind: act, gateway, record: user.uid, order };
  const reply = await session.chain.call(startJob, { body }, [user.uid, job]);
  return reply.job;
}
