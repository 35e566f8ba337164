import { secretsOf, serverWords, timedWork } from '@sallyport/kind-support';
import { PamError } from '@sallyport/protocol';
import type { ApplyOutcome, KindAccount, KindIo, KindSession, Precondition, WriteOrder } from '@sallyport/rotation';
import { Request, RequestError, TYPES } from 'tedious';
import { z } from 'zod';
import { numbersText } from './login-answer.ts';
import { lookAtLogin, lookQuery, lookSchema } from './look-at-login.ts';
import type { OpenSqlServer, SqlServerLogin } from './open-sqlserver.ts';
import { writeOutcome } from './write-outcome.ts';
import { markQuery, numberedWrite, ownWrite, rollBack } from './write-text.ts';

/** For questions that change nothing. */
const askWithinMs = 10_000;
/** Beyond the limit that the server keeps itself: its answer has to come back too. */
const answerWithinMs = 2_000;
const longestPassword = 128;
/** No such table, and no permission to read it. */
const withoutTable = new Set([208, 229]);

const rowsSchema = z.array(z.record(z.string(), z.object({ value: z.unknown() }))).max(16);
/** The last word of our own batch. */
const writtenSchema = z.object({ written: z.string() });
const markSchema = z.object({ mark: z.string().regex(/^\d{1,15}$/) });

/** Errors of the server itself; null: the way to it broke, or it said nothing that its protocol knows. */
function serverErrors(reason: unknown): readonly RequestError[] | null {
  const all: readonly unknown[] = reason instanceof AggregateError ? reason.errors : [reason];
  const errors = all.filter((each) => each instanceof RequestError && typeof each.number === 'number');
  return errors.length === 0 || errors.length < all.length ? null : (errors as RequestError[]);
}

const numbersOf = (errors: readonly RequestError[]): readonly number[] => errors.map(({ number }) => number ?? 0);

type Row = Readonly<Record<string, unknown>>;
function valuesOf(rows: unknown): readonly Row[] {
  return rowsSchema
    .parse(rows)
    .map((row) => Object.fromEntries(Object.entries(row).map(([name, { value }]) => [name, value])));
}

/** A session that is logged in: as one who may change logins, or as the very login it changes. */
export class SqlServerSession implements KindSession {
  readonly address: string;
  readonly #login: SqlServerLogin;
  readonly #open: OpenSqlServer;
  readonly #io: KindIo;

  constructor(login: SqlServerLogin, open: OpenSqlServer, io: KindIo) {
    this.address = open.address;
    this.#login = login;
    this.#open = open;
    this.#io = io;
  }

  #isOwn(account: KindAccount): boolean {
    return account.login === this.#login.account.login;
  }

  /** @param login - `@login` of the text; without one it goes as a batch, in which `ALTER LOGIN` finds literals. */
  #send(text: string, login?: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const request = new Request(text, (error, _count, rows: unknown) =>
        error === undefined || error === null ? resolve(rows) : reject(error),
      );
      if (login === undefined) return this.#open.connection.execSqlBatch(request);
      request.addParameter('login', TYPES.NVarChar, login);
      this.#open.connection.execSql(request);
    });
  }

  /** @throws PamError PAM_TARGET_RESET, PAM_TARGET_TIMEOUT; RequestError of the server. */
  async #ask(text: string, login?: string): Promise<readonly Row[]> {
    const never = new AbortController().signal;
    try {
      return valuesOf(await timedWork(this.#io, askWithinMs, never, () => this.#send(text, login)));
    } catch (reason) {
      if (serverErrors(reason) !== null) throw reason;
      this.#open.stream.destroy();
      throw PamError.from(reason, 'PAM_TARGET_RESET', 'the server did not answer a question');
    }
  }

  async mark(account: KindAccount): Promise<number> {
    if (this.#isOwn(account)) return 0;
    try {
      const [row] = await this.#ask(markQuery, account.login);
      return row === undefined ? 0 : Number(markSchema.parse(row).mark);
    } catch (reason) {
      const errors = serverErrors(reason);
      // Without the table no write is made either; the dry run and the write say so.
      if (errors !== null && numbersOf(errors).every((number) => withoutTable.has(number))) return 0;
      throw PamError.from(reason, 'PAM_TARGET_RESET', 'the server did not tell the send number');
    }
  }

  async check(account: KindAccount): Promise<readonly Precondition[]> {
    try {
      const [row] = await this.#ask(lookQuery, account.login);
      return lookAtLogin(lookSchema.parse(row), this.#isOwn(account));
    } catch (reason) {
      throw PamError.from(reason, 'PAM_TARGET_RESET', 'the server did not answer a question');
    }
  }

  async apply(order: WriteOrder, signal: AbortSignal): Promise<ApplyOutcome> {
    if (signal.aborted) return { kind: 'unknown', message: 'it was given up before the write' };
    const text = this.#writeText(order);
    if (typeof text !== 'string') return text;
    try {
      const within = order.limitMs + answerWithinMs;
      const [last] = valuesOf(await timedWork(this.#io, within, signal, () => this.#send(text)));
      const { success, data } = writtenSchema.safeParse(last);
      if (success && data.written === String(order.send)) return { kind: 'applied' };
      this.#open.stream.destroy();
      return { kind: 'unknown', message: 'the server did not say that the write was done' };
    } catch (reason) {
      const errors = serverErrors(reason);
      if (errors === null) {
        this.#open.stream.destroy();
        return { kind: 'unknown', message: 'the connection was lost before the answer' };
      }
      await this.#ask(rollBack).catch(() => this.#open.stream.destroy());
      const numbers = numbersOf(errors);
      const secrets = [...secretsOf(order.next), ...secretsOf(order.old)];
      const message = `${numbersText(numbers)} ${serverWords(errors.map((each) => each.message).join(' '), secrets)}`;
      return writeOutcome(numbers, this.#isOwn(order.account), message);
    }
  }

  #writeText({ account: { login }, next, old, send, limitMs }: WriteOrder): string | ApplyOutcome {
    if (next.kind !== 'password') return { kind: 'denied', message: 'SQL Server takes passwords only' };
    const password = next.password.reveal();
    if (password.length === 0 || password.length > longestPassword || password.includes('\0'))
      return { kind: 'policy', message: `passwords of SQL Server have 1 to ${longestPassword} characters` };
    if (login !== this.#login.account.login) return numberedWrite({ login, password, send, limitMs });
    const known = old ?? this.#login.credential;
    if (known.kind !== 'password') return { kind: 'denied', message: 'the old password is not known' };
    return ownWrite({ login, password, old: known.password.reveal(), send, limitMs });
  }

  async close(): Promise<void> {
    const { connection, stream } = this.#open;
    const gone = stream.closed
      ? Promise.resolve()
      : new Promise<void>((resolve) => void stream.once('close', () => resolve()));
    connection.close();
    stream.destroy();
    await gone;
  }
}
