import { secretsOf, serverWords, timedWork } from '@sallyport/kind-support';
import { PamError } from '@sallyport/protocol';
import type {
  ApplyOutcome,
  Credential,
  KindAccount,
  KindIo,
  KindSession,
  KindTarget,
  Precondition,
  RetireOutcome,
  WriteOrder,
} from '@sallyport/rotation';
import { hashOf, isMark, isUntold, markName, marksOf, retirement } from './acl-mark.ts';
import {
  breaksConfig,
  breaksRemedy,
  findPersistence,
  lookAtUser,
  type Persistence,
  persistRemedy,
  readUserNames,
  type RedisUser,
  saveCommands,
  userOf,
} from './look-at-user.ts';
import { canBeUser, isError, type OpenRedis, openRedis, type RedisLogin } from './open-redis.ts';
import type { Command, RedisConnection } from './redis-connection.ts';
import type { Reply } from './reply.ts';

/** For questions and clean-ups. */
const askWithinMs = 10_000;
const closeWithinMs = 1_000;

/** What is to be known before a write. */
interface Prepared {
  readonly login: string;
  readonly user: ReturnType<typeof userOf>;
  readonly persistence: Persistence;
}

const passwordHash = (credential: Credential | null): string | null =>
  credential?.kind === 'password' ? hashOf(credential.password.reveal()) : null;

const errorText = (reply: Reply | undefined): string => (reply?.kind === 'error' ? reply.text : 'no answer');

/** What a transaction came to: its results, or why nothing of it was done. */
type Transaction =
  | { readonly kind: 'done'; readonly results: readonly Reply[] }
  | { readonly kind: 'nothing'; readonly message: string; readonly isFinal: boolean };

/**
 * All commands in one go and without another's between. Redis does none of them when one could not be queued, and each by
 * itself where `MULTI` was refused: their order has to be right without it, too.
 */
async function transact(connection: RedisConnection, commands: readonly Command[]): Promise<Transaction> {
  const replies = await connection.ask([['MULTI'], ...commands, ['EXEC']]);
  const [begin, end] = [replies[0], replies.at(-1)];
  if (begin?.kind !== 'text') return { kind: 'done', results: replies.slice(1, -1) };
  if (end?.kind === 'list' && end.items.length === commands.length) return { kind: 'done', results: end.items };
  if (!isError(end, 'EXECABORT') && !isError(end, 'NOPERM'))
    throw new PamError('PAM_TARGET_RESET', 'the server gave no answer to a transaction');
  const first = replies.find((reply) => reply.kind === 'error');
  // A server that loads, or runs a long script, says so in another word and may take it later.
  return { kind: 'nothing', message: errorText(first), isFinal: isError(first, 'NOPERM') || isError(first, 'ERR') };
}

/** A session that is logged in: as an administrator of users, or as the very user it changes. */
export class RedisSession implements KindSession {
  readonly address: string;
  readonly #target: KindTarget;
  readonly #login: RedisLogin;
  readonly #connection: RedisConnection;
  readonly #io: KindIo;
  /** Read before the permit is asked for, so that the write goes out in the turn of the permit. */
  #prepared: Prepared | null = null;

  constructor(target: KindTarget, login: RedisLogin, open: OpenRedis, io: KindIo) {
    this.address = open.address;
    this.#target = target;
    this.#login = login;
    this.#connection = open.connection;
    this.#io = io;
  }

  /** @throws PAM_TARGET_*; the connection is over then. */
  async #timed<T>(ms: number, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      return await timedWork(this.#io, ms, signal, work);
    } catch (reason) {
      this.#connection.destroy();
      throw PamError.from(reason, 'PAM_TARGET_RESET', 'the server did not answer');
    }
  }

  async #prepare(login: string): Promise<Prepared> {
    const user = userOf(await this.#connection.askOne('ACL', 'GETUSER', login));
    return { login, user, persistence: await findPersistence(this.#connection, this.#target) };
  }

  /** Additive: no number of the account is compared. */
  async mark({ login }: KindAccount): Promise<number> {
    this.#prepared = await this.#timed(askWithinMs, new AbortController().signal, () => this.#prepare(login));
    return 0;
  }

  check({ login }: KindAccount): Promise<readonly Precondition[]> {
    const me = this.#login.account.login;
    return this.#timed(askWithinMs, new AbortController().signal, () =>
      lookAtUser(this.#connection, this.#target, me, login),
    );
  }

  async apply(order: WriteOrder, signal: AbortSignal): Promise<ApplyOutcome> {
    if (signal.aborted) return { kind: 'unknown', message: 'it was given up before the write' };
    const { login } = order.account;
    const next = passwordHash(order.next);
    if (next === null) return { kind: 'denied', message: 'Redis takes passwords only' };
    if (!canBeUser(login)) return { kind: 'denied', message: 'no user can have this name' };
    if (isMark(login)) return { kind: 'denied', message: 'this user is a mark of a rotation' };
    const prepared = this.#prepared?.login === login ? this.#prepared : null;
    this.#prepared = null;
    try {
      const outcome = await this.#timed(order.limitMs, signal, async () =>
        this.#write(order, next, prepared ?? (await this.#prepare(login))),
      );
      if (outcome.kind === 'applied') return outcome;
      return { ...outcome, message: serverWords(outcome.message, [...secretsOf(order.next), ...secretsOf(order.old)]) };
    } catch {
      return { kind: 'unknown', message: 'the connection was lost before the answer' };
    }
  }

  async #write(order: WriteOrder, next: string, { user, persistence }: Prepared): Promise<ApplyOutcome> {
    const { login } = order.account;
    const denied = breaksConfig(login, persistence) ? breaksRemedy : whyNot(user, persistence);
    if (denied !== null || user === null || 'error' in user) return { kind: 'denied', message: denied ?? '' };
    const old = passwordHash(order.old);
    const marks = [
      markName(login, order.send, next),
      // What opened the user so far is ours to remove, too, once the new one is recorded.
      ...(old !== null && old !== next && user.hashes.includes(old) ? [markName(login, 0, old)] : []),
    ];
    const done = await transact(this.#connection, [
      ...marks.map((name) => ['ACL', 'SETUSER', name]),
      ['ACL', 'SETUSER', login, `#${next}`],
      ...saveCommands(persistence),
    ]);
    if (done.kind === 'nothing') return { kind: done.isFinal ? 'denied' : 'unknown', message: done.message };
    const failed = done.results.find((result) => result.kind === 'error');
    if (failed === undefined) return { kind: 'applied' };
    return this.#takeBack(login, user.hashes.includes(next) ? null : next, marks, errorText(failed));
  }

  /** A part of it failed, as when users could not be saved: the rest must not stand until the next restart only. */
  async #takeBack(login: string, hash: string | null, marks: readonly string[], why: string): Promise<ApplyOutcome> {
    const back = await transact(this.#connection, [
      ...(hash === null ? [] : [['ACL', 'SETUSER', login, `!${hash}`]]),
      ['ACL', 'DELUSER', ...marks],
    ]);
    const isBack = hash !== null && back.kind === 'done' && back.results.every((result) => result.kind !== 'error');
    return { kind: isBack ? 'denied' : 'unknown', message: why };
  }

  /** What was marked and could not be removed stays marked. */
  retire({ login }: KindAccount, keep: Credential, signal: AbortSignal): Promise<RetireOutcome> {
    const kept = passwordHash(keep);
    if (kept === null) return Promise.resolve({ kind: 'denied', message: 'what is to be kept is no password' });
    return this.#timed(askWithinMs, signal, async () => {
      const { user, persistence } = await this.#prepare(login);
      const names = await readUserNames(this.#connection);
      if (user === null || 'error' in user || names === null)
        throw new PamError('PAM_TARGET_RESET', 'the users of the server could not be read');
      const known = marksOf(login, names);
      if (isUntold(kept, user.hashes, known))
        return { kind: 'denied', message: 'the password to keep was not set by a rotation: rotate once more' };
      const { hashes, marks } = retirement(kept, user.hashes, known);
      if (hashes.length === 0 && marks.length === 0) return { kind: 'retired', removed: 0 };
      const done = await transact(this.#connection, [
        ...(hashes.length > 0 ? [['ACL', 'SETUSER', login, ...hashes.map((hash) => `!${hash}`)]] : []),
        ...(marks.length > 0 ? [['ACL', 'DELUSER', ...marks]] : []),
        ...saveCommands(persistence),
      ]);
      const failed = done.kind === 'done' ? done.results.find((result) => result.kind === 'error') : undefined;
      if (done.kind === 'nothing' || failed !== undefined) {
        const why = serverWords(done.kind === 'nothing' ? done.message : errorText(failed), []);
        const message = `older passwords are not gone for good: ${why}`;
        if (done.kind === 'nothing' && done.isFinal) return { kind: 'denied', message };
        throw new PamError('PAM_TARGET_RESET', message);
      }
      return { kind: 'retired', removed: hashes.length };
    });
  }

  /** Redis does not replicate users: a replica agrees when it was given the same passwords by whoever gives them. */
  async agrees(
    replica: { readonly host: string; readonly port: number },
    { login }: KindAccount,
    signal: AbortSignal,
  ): Promise<boolean> {
    const here = await this.#timed(askWithinMs, signal, () => this.#prepare(login));
    const place = { ...replica, isReplica: true };
    const opening = await openRedis(this.#target, this.#login, this.#io, signal, place);
    if (opening.kind !== 'open') return false;
    const other = new RedisSession(this.#target, this.#login, opening, this.#io);
    try {
      const there = await other.#timed(askWithinMs, signal, () => other.#prepare(login));
      return haveSame(here.user, there.user);
    } catch {
      return false; // it could not be asked: it has not agreed
    } finally {
      await other.close();
    }
  }

  close(): Promise<void> {
    return this.#connection.close((giveUp) => this.#io.schedule(closeWithinMs, giveUp));
  }
}

function haveSame(one: ReturnType<typeof userOf>, other: ReturnType<typeof userOf>): boolean {
  if (one === null || other === null || 'error' in one || 'error' in other) return false;
  const sorted = ({ hashes }: RedisUser): string => [...hashes].sort().join();
  return sorted(one) === sorted(other);
}

/** Why nothing is written; null when nothing stands against it. */
function whyNot(user: ReturnType<typeof userOf>, persistence: Persistence): string | null {
  // A write would make it.
  if (user === null) return 'there is no such user';
  if ('error' in user) return user.error;
  // A first password would shut out whoever comes with any other.
  if (user.flags.includes('nopass')) return 'any password opens this user (nopass), so none can be verified';
  return persistence === 'nowhere' || persistence === 'unknown' ? persistRemedy[persistence] : null;
}
