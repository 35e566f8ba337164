import { randomBytes } from 'node:crypto';
import type {
  ApplyOutcome,
  KindAccount,
  KindIo,
  KindSession,
  KindTarget,
  Precondition,
  WriteOrder,
} from '@sallyport/rotation';
import { secretsOf, serverWords, timedWork } from '@sallyport/kind-support';
import { PamError } from '@sallyport/protocol';
import { lookAtRole } from './look-at-role.ts';
import { isDatabaseError } from './login-answer.ts';
import { type OpenPostgres, openPostgres, type PostgresLogin } from './open-postgres.ts';
import { scramVerifier } from './scram-verifier.ts';
import { fencedState, markQuery, numberedWrite, ownWrite } from './write-text.ts';

export const sessionLabel = 'sallyport rotation';
/** For questions that change nothing. */
const askWithinMs = 10_000;
/** Beyond the limit that the server enforces: its answer has to come back too. */
const answerWithinMs = 2_000;
const closeWithinMs = 1_000;
const saltBytes = 16;
/** Looks at the sessions that were told to end, 100 ms apart: 10 s. */
const evictLooks = 100;
const lookAgainMs = 100;

const printable = /^[\x20-\x7e]+$/;

const evictOthers = `
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE usename = current_user AND application_name = $1 AND pid <> pg_catalog.pg_backend_pid()`;

/** States of an error that came before anything was changed, and which another secret would not help. */
const denied = new Set(['42501', '42704', '25006', '0A000', '42883', '42P01', '3F000', '28000']);

function outcomeOf(reason: unknown, order: WriteOrder): ApplyOutcome {
  if (!isDatabaseError(reason)) return { kind: 'unknown', message: 'the connection was lost before the answer' };
  const secrets = [...secretsOf(order.next), ...secretsOf(order.old)];
  const state = reason.code ?? '';
  const message = `${state} ${serverWords(reason.message, secrets)}`;
  if (state === fencedState) return { kind: 'fenced', message: 'the role has seen this send or a higher one' };
  // What the module passwordcheck and its kin say.
  if (state === '22023') return { kind: 'policy', message };
  if (denied.has(state)) return { kind: 'denied', message };
  // 57014 (time over), XX000 (tuple concurrently updated) and the rest do not say enough.
  return { kind: 'unknown', message };
}

/** A session that is logged in: as an administrator of roles, or as the very role it changes. */
export class PostgresSession implements KindSession {
  readonly address: string;
  readonly #target: KindTarget;
  readonly #login: PostgresLogin;
  readonly #open: OpenPostgres;
  readonly #io: KindIo;
  /** Where the primary's log was at the first question after a change. */
  #position: string | null = null;

  constructor(target: KindTarget, login: PostgresLogin, open: OpenPostgres, io: KindIo) {
    this.address = open.address;
    this.#target = target;
    this.#login = login;
    this.#open = open;
    this.#io = io;
  }

  #isOwn(account: KindAccount): boolean {
    return account.login === this.#login.account.login;
  }

  async #ask<Row extends object>(
    text: string,
    values: readonly string[],
    signal: AbortSignal = new AbortController().signal,
  ): Promise<Row[]> {
    const { client } = this.#open;
    try {
      return await timedWork(this.#io, askWithinMs, signal, async () => {
        return (await client.query<Row>(text, [...values])).rows;
      });
    } catch (reason) {
      if (!isDatabaseError(reason)) this.#open.stream.destroy();
      throw PamError.from(reason, 'PAM_TARGET_RESET', 'the server did not answer a question');
    }
  }

  async mark(account: KindAccount): Promise<number> {
    if (this.#isOwn(account)) return 0;
    const [row] = await this.#ask<{ mark: string }>(markQuery, [account.login]);
    return Number(row?.mark ?? 0);
  }

  check(account: KindAccount): Promise<readonly Precondition[]> {
    return lookAtRole((text, values) => this.#ask(text, values), account.login, this.#isOwn(account));
  }

  /** A role may end its own sessions; an administrator's writes are fenced by their number and evict nobody. */
  async evict(account: KindAccount): Promise<boolean> {
    if (!this.#isOwn(account)) return true;
    for (let look = 0; look < evictLooks; look += 1) {
      if ((await this.#ask(evictOthers, [sessionLabel])).length === 0) return true;
      await new Promise<void>((resolve) => void this.#io.schedule(lookAgainMs, resolve));
    }
    return false;
  }

  async apply(order: WriteOrder, signal: AbortSignal): Promise<ApplyOutcome> {
    if (signal.aborted) return { kind: 'unknown', message: 'it was given up before the write' };
    if (order.next.kind !== 'password') return { kind: 'denied', message: 'PostgreSQL takes passwords only' };
    const password = order.next.password.reveal();
    if (!printable.test(password))
      return { kind: 'policy', message: 'only printable ASCII is the same for every client' };
    const verifier = scramVerifier(password, randomBytes(saltBytes));
    const text = this.#isOwn(order.account)
      ? ownWrite({ verifier, limitMs: order.limitMs })
      : numberedWrite({ login: order.account.login, verifier, send: order.send, limitMs: order.limitMs });
    const { client, stream } = this.#open;
    try {
      const within = order.limitMs + answerWithinMs;
      await timedWork(this.#io, within, signal, () => client.query(text));
      return { kind: 'applied' };
    } catch (reason) {
      if (isDatabaseError(reason)) await this.#rollBack();
      else stream.destroy();
      return outcomeOf(reason, order);
    }
  }

  /** The transaction is over for the server already; this connection can be asked again afterwards. */
  async #rollBack(): Promise<void> {
    try {
      await this.#ask('ROLLBACK', []);
    } catch {
      this.#open.stream.destroy();
    }
  }

  /**
   * A standby has the change when it has replayed the primary's log to where it was after the change. An account that changes
   * itself asks none: it would have to log in there with a password that may be the old one.
   */
  async agrees(
    replica: { readonly host: string; readonly port: number },
    account: KindAccount,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (this.#isOwn(account)) return false;
    if (this.#position === null) {
      const [now] = await this.#ask<{ lsn: string }>('SELECT pg_catalog.pg_current_wal_lsn()::text AS lsn', [], signal);
      this.#position = now?.lsn ?? null;
    }
    const place = { ...replica, isReplica: true };
    const opening = await openPostgres(this.#target, this.#login, sessionLabel, this.#io, signal, place);
    if (opening.kind !== 'open' || this.#position === null) return false;
    const standby = new PostgresSession(this.#target, this.#login, opening, this.#io);
    try {
      const [row] = await standby.#ask<{ has: boolean }>(
        `SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
           THEN pg_catalog.pg_last_wal_replay_lsn() >= $1::pg_lsn ELSE false END AS has`,
        [this.#position],
        signal,
      );
      return row?.has === true;
    } catch {
      return false; // it could not be asked: it has not agreed
    } finally {
      await standby.close();
    }
  }

  again(io: KindIo): KindSession | null {
    return this.#open.stream.destroyed ? null : new PostgresSession(this.#target, this.#login, this.#open, io);
  }

  async close(): Promise<void> {
    const { client, stream } = this.#open;
    if (stream.destroyed) return;
    const gone = new Promise<void>((resolve) => void stream.once('close', () => resolve()));
    const cancel = this.#io.schedule(closeWithinMs, () => stream.destroy());
    client.end().catch(() => stream.destroy());
    await gone;
    cancel();
  }
}
