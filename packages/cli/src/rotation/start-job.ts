import {
  deviceIdSchema,
  type ItemUid,
  itemsInCall,
  type JobView,
  jobIdSchema,
  newUid,
  ordersInCall,
  PamError,
  startJobs,
} from '@sallyport/protocol';
import { orderLifeSeconds, signOrder } from '@sallyport/seal';
import type { z } from 'zod';
import { toldError } from '../api/told-error.ts';
import type { Cli } from '../cli.ts';
import { nowSeconds } from '../time/clock.ts';
import type { VaultSession } from '../vault/open-session.ts';
import type { OpenedItem } from '../vault/vault.ts';
import { readOnce } from './read-once.ts';
import { type ItemReader, rotatedRecord, type RotatedRecord, type User } from './rotated-record.ts';

/** What became of the order of one record. */
export type Ordered =
  | { readonly user: User; readonly job: JobView; readonly error: null }
  | { readonly user: User; readonly job: null; readonly error: PamError };

type Act = JobView['kind'];
/** `again`: of jobs `after`, also what ended well already. */
type What = { readonly act: Act; readonly again?: 'all' };
type NewOrder = z.input<typeof startJobs.body>['orders'][number];

/** Reading and sending take as many at once: neither limit is met in the middle of the other's. */
const atOnce = Math.min(ordersInCall, itemsInCall);

/**
 * Orders a job of each user, so many with one look at the vault and one signed event. Each order is a statement of its own
 * over the record as that look showed it; one that is refused keeps no other back.
 *
 * @returns in the order of `users`; what kept many back is the error of each.
 */
export async function orderJobs(
  cli: Cli,
  session: VaultSession,
  users: readonly User[],
  act: Act,
  again?: 'all',
): Promise<readonly Ordered[]> {
  const what: What = { act, ...(again === undefined ? {} : { again }) };
  const all: Ordered[] = [];
  for (let from = 0; from < users.length; from += atOnce) {
    all.push(...(await orderTogether(cli, session, users.slice(from, from + atOnce), what)));
  }
  return all;
}

async function orderTogether(
  cli: Cli,
  session: VaultSession,
  users: readonly User[],
  what: What,
): Promise<readonly Ordered[]> {
  const reader = await orError(lookAt(session, users));
  if (reader instanceof PamError) return users.map((user) => ({ user, job: null, error: reader }));
  const made: (NewOrder | PamError)[] = [];
  for (const user of users) made.push(await orError(orderOf(cli, session, reader, user, what)));
  const orders = made.filter((one): one is NewOrder => !(one instanceof PamError));
  const sent = await orError(send(session, orders));
  const answers = sent instanceof PamError ? null : sent.values();
  return users.map((user, at): Ordered => {
    const order = made[at];
    if (order === undefined || order instanceof PamError) return { user, job: null, error: order ?? noAnswer() };
    const answer = sent instanceof PamError ? sent : (answers?.next().value ?? noAnswer());
    return answer instanceof PamError ? { user, job: null, error: answer } : { user, job: answer, error: null };
  });
}

/** Answers in the order of `orders`. */
async function send(session: VaultSession, orders: readonly NewOrder[]): Promise<readonly (JobView | PamError)[]> {
  if (orders.length === 0) return [];
  const on = orders.flatMap(({ record, job }) => [record, job]);
  const { results } = await session.chain.call(startJobs, { body: { orders: [...orders] } }, on);
  return results.map((result) => ('job' in result ? result.job : toldError(result.error)));
}

/** The users at one look; what several of them share is read once. */
async function lookAt(session: VaultSession, users: readonly User[]): Promise<ItemReader> {
  const found = await session.vault.itemsAtOnce(users.map(({ uid }) => uid));
  return readOnce({
    item: async (uid) => {
      const seen = found.get(uid);
      if (seen instanceof PamError) throw seen;
      return seen ?? session.vault.item(uid);
    },
  });
}

async function orderOf(cli: Cli, session: VaultSession, reader: ItemReader, user: User, what: What): Promise<NewOrder> {
  const record = await rotatedRecord(reader, user);
  const job = jobIdSchema.parse(newUid(random));
  const order = await signOrderOf(cli, session, record, what, job);
  return { job, kind: what.act, gateway: record.gateway, record: user.uid, order };
}

async function signOrderOf(
  cli: Cli,
  session: VaultSession,
  { user, resource, configuration, admin, gateway, named }: RotatedRecord,
  what: What,
  job: JobView['job'],
): Promise<string> {
  const iat = nowSeconds(cli.clock);
  const items: readonly OpenedItem[] = [user, resource, configuration, admin, ...named].filter((one) => one !== null);
  const revs = Object.fromEntries(items.map((item) => [item.uid, item.factsRev])) as Record<ItemUid, number>;
  return signOrder(
    {
      iss: deviceIdSchema.parse(session.device.key.id),
      aud: `gateway:${gateway}`,
      jti: newUid(random),
      iat,
      exp: iat + orderLifeSeconds,
      ...what,
      job,
      record: user.uid,
      base: user.item.parts.secrets?.rev ?? 0,
      revs,
      head: session.log.state().head,
    },
    session.device.key,
  );
}

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

const noAnswer = (): PamError => new PamError('PAM_BAD_REQUEST', 'the router did not answer every order');

async function orError<T>(work: Promise<T>): Promise<T | PamError> {
  try {
    return await work;
  } catch (reason) {
    if (reason instanceof PamError) return reason;
    throw reason;
  }
}
