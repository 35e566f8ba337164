import {
  type AccountVersion,
  getJob,
  type JobId,
  type JobView,
  listJobs,
  readRotation,
  type UserSecrets,
} from '@sallyport/protocol';
import { userSecretsSchema } from '@sallyport/protocol';
import { openPart } from '@sallyport/seal';
import type { Later } from '@sallyport/testkit';
import type { Cli } from '../../packages/cli/src/cli.ts';
import type { User } from '../../packages/cli/src/rotation/rotated-record.ts';
import { orderJobs } from '../../packages/cli/src/rotation/start-job.ts';
import { hasEnded } from '../../packages/cli/src/rotation/watch-job.ts';
import { systemClock } from '../../packages/cli/src/time/system-clock.ts';
import { openVaultSession, type VaultSession } from '../../packages/cli/src/vault/open-session.ts';
import { until } from '../harness/until.ts';

/** A version of an account, opened. */
interface KnownVersion {
  readonly n: number;
  readonly state: AccountVersion['state'];
  readonly job: JobId | null;
  readonly secrets: UserSecrets;
}

/** What a run left behind, as the owner can read it. */
export interface AccountState {
  readonly attention: string | null;
  readonly current: number | null;
  readonly versions: readonly KnownVersion[];
  /** The record's secret now, and its revision. */
  readonly secrets: UserSecrets;
  readonly rev: number;
}

/**
 * The owner at work in this process: the code of `pam`, without a start of the program for each look. A thousand runs
 * would otherwise be mostly starts.
 */
export interface Owner {
  /** Every pamUser with this tag, by title. */
  usersWith(tag: string): Promise<ReadonlyMap<string, User>>;
  /** Signs an order to rotate and hands it to the router. */
  order(user: User): Promise<JobView>;
  /** Of many, as `pam action rotate -f` does; throws what one was refused with. */
  orderAll(users: readonly User[]): Promise<readonly JobView[]>;
  job(id: JobId): Promise<JobView>;
  /** Until it ended; a router that is away is asked again. */
  ended(id: JobId): Promise<JobView>;
  state(user: User): Promise<AccountState>;
  /** Whether any job has not ended. */
  anyOpen(): Promise<boolean>;
  /** Every job that was made at or after this time and has ended. */
  endedSince(ms: number): Promise<readonly JobView[]>;
}

export async function newOwner(later: Later, home: string): Promise<Owner> {
  const silent = (): never => {
    throw new Error('nobody is asked here');
  };
  const cli: Cli = {
    terminal: {
      ...{ interactive: false, animated: false, screenRows: () => null },
      ...{ out: () => undefined, err: () => undefined },
      ...{ ask: silent, askSecret: silent, confirm: silent, readInput: silent },
    },
    clock: systemClock,
    env: { SALLYPORT_HOME: home },
    home,
    ...{ profileName: undefined, proxy: undefined, carrier: undefined, format: 'json' },
    signal: new AbortController().signal,
  };
  const session = await openVaultSession(cli);
  later(() => session.close());
  const job = async (id: JobId): Promise<JobView> => (await session.client.call(getJob, { params: { id } })).job;
  const orderAll = async (users: readonly User[]): Promise<readonly JobView[]> =>
    (await orderJobs(cli, session, users, 'rotate')).map(({ job: ordered, error }) => {
      if (ordered === null) throw error;
      return ordered;
    });
  return {
    usersWith: async (tag) => {
      const users = await session.vault.allItems(['pamUser']);
      return new Map(users.filter(({ facts }) => facts.tags.includes(tag)).map((user) => [user.title, user]));
    },
    orderAll,
    order: async (user) => {
      const [ordered] = await orderAll([user]);
      if (ordered === undefined) throw new Error('an order was given no answer');
      return ordered;
    },
    job,
    ended: (id) =>
      until(`the job ${id} ends`, async () => {
        const now = await job(id).catch(() => null);
        return now !== null && hasEnded(now) ? now : null;
      }),
    state: (user) => stateOf(session, user),
    anyOpen: async () => (await session.client.call(listJobs, { query: { state: 'open' } })).jobs.length > 0,
    endedSince: async (ms) => {
      const found: JobView[] = [];
      let before: string | undefined;
      for (;;) {
        const query = { state: 'ended', ...(before === undefined ? {} : { before }) } as const;
        const { jobs, more } = await session.client.call(listJobs, { query });
        found.push(...jobs.filter((one) => one.createdAtMs >= ms));
        const last = jobs.at(-1);
        if (!more || last === undefined || last.createdAtMs < ms) return found;
        before = `${last.createdAtMs}.${last.job}`;
      }
    },
  };
}

async function stateOf(session: VaultSession, user: User): Promise<AccountState> {
  const { account, versions } = await session.client.call(readRotation, { params: { uid: user.uid } });
  const item = await session.vault.item(user.uid);
  const secrets = await session.vault.secrets(item);
  if (secrets === null) throw new Error(`${user.title} has no secrets`);
  const known = await Promise.all(versions.map((version) => opened(session, user, version)));
  const [attention, current] = [account?.attention ?? null, account?.current ?? null];
  return { attention, current, versions: known, secrets, rev: item.item.parts.secrets?.rev ?? 0 };
}

/** @throws when a version that the store keeps cannot be read: that would be a lost password. */
async function opened(session: VaultSession, { app, uid }: User, version: AccountVersion): Promise<KnownVersion> {
  const { n, gen, rev, envelope, state, job } = version;
  const key = (await session.vault.allKeys(app)).find((one) => one.part === 'secrets' && one.gen === gen)?.key;
  if (key === undefined) throw new Error(`no secrets key of generation ${gen}`);
  const place = { app, uid, type: 'pamUser', part: 'secrets', gen, rev } as const;
  const { body } = await openPart(envelope, place, key, session.log.state());
  return { n, state, job, secrets: userSecretsSchema.parse(body) };
}
