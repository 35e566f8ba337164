import { secretsOf, serverWords, timedWork } from '@sallyport/kind-support';
import { PamError } from '@sallyport/protocol';
import type {
  ApplyOutcome,
  KindAccount,
  KindIo,
  KindSession,
  KindTarget,
  Precondition,
  WriteOrder,
} from '@sallyport/rotation';
import { type AccountHost, accountHost, lockName, showAccount } from './account-host.ts';
import { type AccountLook, lookAtAccount, whyNotWritten } from './look-at-account.ts';
import type { QueryReply, ServerError } from './mysql-connection.ts';
import { type MysqlLogin, type OpenMysql, openMysql } from './open-mysql.ts';
import { preconditions } from './preconditions.ts';
import { hasReachedText, positionText } from './replica-text.ts';
import { quoteText, sessionText, writeText } from './write-text.ts';

/** For questions that change nothing. */
const askWithinMs = 10_000;
/** Beyond the limit that the server enforces: its answer has to come back too. */
const answerWithinMs = 2_000;
/** Each try waits a second at most for a session that was told to end: 8 s. */
const evictTries = 8;
/** KILL: there is no such session any more. */
const noSuchSession = 1094;

const printable = /^[\x20-\x7e]+$/;

/** Refused before anything was changed, and another password would not help. */
const denied = new Set([
  1044, 1045, 1131, 1133, 1142, 1143, 1227, 1290, 1372, 1396, 1410, 1470, 1524, 1699, 1792, 1820, 1836, 3566,
]);
/** The password itself is refused: ER_NOT_VALID_PASSWORD, and the history of MySQL. */
const policy = new Set([1819, 3638]);
/** MySQL was given another password than the present one. */
const wrongOld = new Set([3891, 3892]);

/** Its words are a part of the statement, where no secret can be told any more. */
const syntaxError = 1064;

function outcomeOf({ code, message }: ServerError, order: WriteOrder): ApplyOutcome {
  if (code === syntaxError) return { kind: 'denied', message: 'this server is too old for the statement' };
  const shown = `${code} ${serverWords(message, [...secretsOf(order.next), ...secretsOf(order.old)])}`;
  if (policy.has(code)) return { kind: 'policy', message: shown };
  if (wrongOld.has(code)) return { kind: 'fenced', message: shown };
  if (denied.has(code)) return { kind: 'denied', message: shown };
  // 1969 and 1205 (time over), 1317 and 1927 (ended by somebody) and the rest do not say enough.
  return { kind: 'unknown', message: shown };
}

/**
 * A session that is logged in: as an administrator of accounts, or as the very account it changes.
 *
 * S1 It writes only while it holds the lock of the account. The server gives that lock to one session, and takes it back
 *    when the session has ended, after its last statement: who has it knows that no other write of ours is on its way.
 * S2 An eviction ends the session that has the lock, and takes it.
 */
export class MysqlSession implements KindSession {
  readonly address: string;
  readonly #target: KindTarget;
  readonly #login: MysqlLogin;
  readonly #open: OpenMysql;
  readonly #io: KindIo;
  /** What was seen of the account whose lock is held. */
  #held: { readonly name: string; readonly look: AccountLook | ServerError } | null = null;
  #isSettled = false;
  /** Where the primary's log was at the first question after a change. */
  #position: string | null = null;

  constructor(target: KindTarget, login: MysqlLogin, open: OpenMysql, io: KindIo) {
    this.address = open.address;
    this.#target = target;
    this.#login = login;
    this.#open = open;
    this.#io = io;
  }

  #isOwn(account: AccountHost): boolean {
    return showAccount(account) === showAccount(accountHost(this.#login.account));
  }

  readonly #ask = async (text: string, signal = new AbortController().signal): Promise<QueryReply> => {
    const { connection } = this.#open;
    try {
      return await timedWork(this.#io, askWithinMs, signal, async () => {
        if (!this.#isSettled) {
          const reply = await connection.ask(sessionText);
          if (reply.kind !== 'done') throw new PamError('PAM_TARGET_RESET', 'the server takes no settings');
          this.#isSettled = true;
        }
        return connection.ask(text);
      });
    } catch (reason) {
      const lost = PamError.from(reason, 'PAM_TARGET_RESET', 'the server did not answer a question');
      connection.destroy(lost);
      throw lost;
    }
  };

  async #askValue(text: string, signal?: AbortSignal): Promise<string | null> {
    const reply = await this.#ask(text, signal);
    return reply.kind === 'rows' ? (reply.rows[0]?.[0] ?? null) : null;
  }

  /** No number is kept: nothing that a server changes in one step with a password can hold one. */
  mark(): Promise<number> {
    return Promise.resolve(0);
  }

  check(account: KindAccount): Promise<readonly Precondition[]> {
    const meant = accountHost(account);
    return preconditions((text) => this.#ask(text), this.#open, meant, this.#isOwn(meant));
  }

  /** Sessions of one login may end each other without any privilege. */
  async evict(account: KindAccount): Promise<boolean> {
    const meant = accountHost(account);
    for (let turn = 0; turn < evictTries; turn += 1) {
      if (await this.#takeLock(meant, turn === 0 ? 0 : 1)) return true;
      const holder = await this.#askValue(`SELECT IS_USED_LOCK(${quoteText(lockName(meant))})`);
      if (holder === null || !/^\d{1,20}$/.test(holder)) continue;
      const killed = await this.#ask(`KILL CONNECTION ${holder}`);
      if (killed.kind === 'error' && killed.code !== noSuchSession) return false;
    }
    return false;
  }

  async #takeLock(account: AccountHost, waitSeconds: number): Promise<boolean> {
    const name = lockName(account);
    if (this.#held?.name === name) return true;
    if ((await this.#askValue(`SELECT GET_LOCK(${quoteText(name)}, ${waitSeconds})`)) !== '1') return false;
    const look = await lookAtAccount((text) => this.#ask(text), this.#open, account, this.#isOwn(account));
    this.#held = { name, look };
    return true;
  }

  async apply(order: WriteOrder, signal: AbortSignal): Promise<ApplyOutcome> {
    if (signal.aborted) return { kind: 'unknown', message: 'it was given up before the write' };
    if (order.next.kind !== 'password') return { kind: 'denied', message: 'MySQL takes passwords only' };
    const password = order.next.password.reveal();
    if (!printable.test(password))
      return { kind: 'policy', message: 'only printable ASCII is the same for every client' };
    const account = accountHost(order.account);
    const isOwn = this.#isOwn(account);
    if (isOwn && showAccount(account) !== showAccount(this.#open.account))
      return { kind: 'denied', message: `this login leads to ${serverWords(showAccount(this.#open.account), [])}` };
    try {
      // An eviction has it already, so that nothing comes between the permit and the write.
      if (this.#held?.name !== lockName(account) && !(await this.#takeLock(account, 0)))
        return { kind: 'unknown', message: 'another session is about to change this account' };
      const look = this.#held?.look;
      if (look === undefined || look.kind === 'error')
        return { kind: 'denied', message: serverWords(look?.message ?? 'nothing was looked at', []) };
      const why = whyNotWritten(look, this.#open);
      if (why !== null || look.method === null) return { kind: 'denied', message: why ?? '' };
      const text = writeText({
        ...{ account, isOwn, password, method: look.method, isJudged: look.isJudged, limitMs: order.limitMs },
        isMariaDb: this.#open.isMariaDb,
        old: order.old?.kind === 'password' ? order.old.password.reveal() : null,
      });
      return await this.#write(text, order, signal);
    } catch {
      return { kind: 'unknown', message: 'the connection was lost before the answer' };
    }
  }

  async #write(text: string, order: WriteOrder, signal: AbortSignal): Promise<ApplyOutcome> {
    const { connection } = this.#open;
    this.#position = null;
    try {
      const within = order.limitMs + answerWithinMs;
      const reply = await timedWork(this.#io, within, signal, () => connection.ask(text));
      return reply.kind === 'error' ? outcomeOf(reply, order) : { kind: 'applied' };
    } catch (reason) {
      connection.destroy(PamError.from(reason, 'PAM_TARGET_RESET', 'the write was given up'));
      throw reason;
    }
  }

  /**
   * A replica agrees when it has carried out all that the primary had in its log at the first question after a change.
   * An account that changes itself asks none: it would have to log in there with a password that may be the old one.
   */
  async agrees(
    replica: { readonly host: string; readonly port: number },
    account: KindAccount,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (this.#isOwn(accountHost(account))) return false;
    const { isMariaDb } = this.#open;
    this.#position ??= await this.#askValue(positionText(isMariaDb), signal);
    // Without a binary log nothing tells where a replica is.
    if (this.#position === null || this.#position === '') return false;
    const place = { ...replica, isReplica: true };
    const opening = await openMysql(this.#target, this.#login, this.#io, signal, place);
    if (opening.kind !== 'open') return false;
    const other = new MysqlSession(this.#target, this.#login, opening, this.#io);
    try {
      return (await other.#askValue(hasReachedText(isMariaDb, this.#position), signal)) === '1';
    } catch {
      return false; // it could not be asked: it has not agreed
    } finally {
      await other.close();
    }
  }

  close(): Promise<void> {
    this.#open.connection.close();
    return Promise.resolve();
  }
}
