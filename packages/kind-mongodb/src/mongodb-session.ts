import { secretsOf, serverWords } from '@sallyport/kind-support';
import type {
  ApplyOutcome,
  KindAccount,
  KindIo,
  KindSession,
  KindTarget,
  Precondition,
  WriteOrder,
} from '@sallyport/rotation';
import { lookAtUser, type UserLook } from './look-at-user.ts';
import {
  askMongo,
  databaseOf,
  type MongoLogin,
  type MongoPlace,
  type OpenMongo,
  reachMongo,
  refusalOf,
  sayHello,
} from './open-mongodb.ts';
import { type Hello, helloSchema, outcomeSchema, statusSchema, usersSchema } from './reply.ts';
import { isPlainPassword } from './scram.ts';
import { writeOutcome } from './write-outcome.ts';

export const sessionLabel = 'sallyport rotation';
/** Beyond the limit that the server keeps itself: its answer has to come back too. */
const answerWithinMs = 2_000;
const unauthorized = 13;

const never = (): AbortSignal => new AbortController().signal;

/** Seconds and the count within one, as one number. */
function timeOf({ lastWrite }: Hello): bigint | null {
  if (lastWrite === undefined) return null;
  const { t, i } = lastWrite.opTime.ts;
  return (BigInt(t) << 32n) + BigInt(i);
}

/** A session that is logged in: as one who may change users, or as the very user it changes. */
export class MongoSession implements KindSession {
  readonly address: string;
  readonly #target: KindTarget;
  readonly #login: MongoLogin;
  readonly #open: OpenMongo;
  readonly #io: KindIo;
  /** Where the primary's log was at the first question after a change. */
  #primary: Hello | null = null;

  constructor(target: KindTarget, login: MongoLogin, open: OpenMongo, io: KindIo) {
    this.address = open.address;
    this.#target = target;
    this.#login = login;
    this.#open = open;
    this.#io = io;
  }

  #isOwn(account: KindAccount): boolean {
    return account.login === this.#login.account.login && databaseOf(account) === databaseOf(this.#login.account);
  }

  /** There is no fence `number` here, and `updateUser` has nothing that could hold one without being read first. */
  mark(): Promise<number> {
    return Promise.resolve(0);
  }

  async check(account: KindAccount): Promise<readonly Precondition[]> {
    const { connection } = this.#open;
    const database = databaseOf(account);
    const hello = await sayHelloAgain(this.#open);
    const status = { connectionStatus: 1, showPrivileges: true };
    const { authInfo } = await askMongo(connection, 'admin', status, statusSchema, never());
    const look = { hello, users: await this.#users(account), privileges: authInfo.authenticatedUserPrivileges };
    return lookAtUser(look, database, this.#isOwn(account));
  }

  async #users(account: KindAccount): Promise<UserLook['users']> {
    const database = databaseOf(account);
    const command = { usersInfo: { user: account.login, db: database } };
    try {
      return (await askMongo(this.#open.connection, database, command, usersSchema, never())).users;
    } catch (reason) {
      if (refusalOf(reason) === unauthorized) return null;
      throw reason;
    }
  }

  async apply({ account, next, old, limitMs }: WriteOrder, signal: AbortSignal): Promise<ApplyOutcome> {
    if (next.kind !== 'password') return { kind: 'denied', message: 'MongoDB takes passwords only' };
    const pwd = next.password.reveal();
    if (!isPlainPassword(pwd)) return { kind: 'policy', message: 'only printable ASCII is the same for every client' };
    const within = Math.max(1, Math.floor(limitMs));
    const command = {
      ...{ updateUser: account.login, pwd, comment: sessionLabel, maxTimeMS: within },
      writeConcern: { w: 'majority', wtimeout: within },
    };
    const limits = { withinMs: limitMs + answerWithinMs, signal };
    const reply = await this.#open.connection.ask(databaseOf(account), command, limits);
    if (reply.kind === 'lost') return { kind: 'unknown', message: reply.why };
    const outcome = outcomeSchema.safeParse(reply.document);
    if (!outcome.success) return { kind: 'unknown', message: 'the server answered what was not asked' };
    const { ok, code = 0, errmsg = '', writeConcernError } = outcome.data;
    if (ok !== 1) return writeOutcome(code, `${code} ${serverWords(errmsg, [...secretsOf(next), ...secretsOf(old)])}`);
    if (writeConcernError !== undefined)
      return { kind: 'unknown', message: 'it was written, and not seen by a majority in time: it may be rolled back' };
    return { kind: 'applied' };
  }

  /** A secondary has the change when its log is where the primary's was after the change. Nobody logs in for that. */
  async agrees(replica: MongoPlace, _account: KindAccount, signal: AbortSignal): Promise<boolean> {
    this.#primary ??= await sayHelloAgain(this.#open);
    const wanted = timeOf(this.#primary);
    const { setName } = this.#primary;
    const seen = await reachMongo(
      this.#target,
      this.#io,
      signal,
      async (connection, _address, limit) => {
        const hello = await sayHello(connection, sessionLabel, null, limit);
        connection.close();
        return { kind: 'seen', hello } as const;
      },
      replica,
    );
    if (seen.kind !== 'seen' || wanted === null || setName === undefined) return false;
    const has = timeOf(seen.hello);
    return seen.hello.setName === setName && has !== null && has >= wanted;
  }

  close(): Promise<void> {
    this.#open.connection.close();
    return Promise.resolve();
  }
}

/** What the client is, may be said once on a connection only. */
function sayHelloAgain({ connection }: OpenMongo): Promise<Hello> {
  return askMongo(connection, 'admin', { hello: 1 }, helloSchema, never());
}
