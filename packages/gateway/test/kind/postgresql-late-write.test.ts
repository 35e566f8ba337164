import { fileURLToPath } from 'node:url';
import type { ApplyOutcome, Credential } from '@sallyport/rotation';
import { createCleanup, type KindLogin, kindWorld, startChild, whyNoPostgres } from '@sallyport/testkit';
import { escapeIdentifier } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { postgresql } from '../../src/kind/postgresql/postgresql.ts';
import {
  accountOf,
  freshCredential,
  type PostgresLab,
  startPostgresLab,
  superuser,
  textOf,
  whenLocked,
} from './postgresql-lab.ts';

const cleanup = createCleanup();
const noServer = await whyNoPostgres();
const holderFile = fileURLToPath(new URL('postgresql-holder.ts', import.meta.url));
const signal = new AbortController().signal;
let lab: PostgresLab;

beforeAll(async () => {
  if (noServer === null) lab = await startPostgresLab(cleanup.later);
});
afterAll(() => cleanup.run());

async function rotate(login: string, send: number, next: Credential): Promise<ApplyOutcome> {
  if (lab.admin === null) return expect.unreachable('the lab has an administrator');
  const world = kindWorld();
  const connected = await postgresql.connect(lab.target, lab.admin, world.io, signal);
  if (connected.kind !== 'connected') return expect.unreachable(connected.message);
  const order = { account: accountOf(login), send, next, old: null, limitMs: 10_000 };
  const outcome = await connected.session.apply(order, signal);
  await connected.session.close();
  await world.allClosed();
  return outcome;
}

async function answerFor(login: KindLogin): Promise<string> {
  const world = kindWorld();
  const { kind } = await postgresql.probe(lab.target, login, world.io, signal);
  await world.allClosed();
  return kind;
}

describe.skipIf(noServer !== null)('PostgreSQL', () => {
  test('the write of a holder that was killed while it queued cannot win over a newer one', async () => {
    const { account } = await lab.makeAccount();
    const [late, newer] = [freshCredential(), freshCredential()];
    const blocker = await superuser(lab.postgres);
    await blocker.query('BEGIN; LOCK TABLE pg_authid IN SHARE MODE');
    const holder = startChild(cleanup.later, process.execPath, [holderFile], {
      input: JSON.stringify({
        login: account.login,
        port: lab.target.port,
        adminLogin: lab.admin?.account.login,
        adminPassword: lab.admin === null ? '' : textOf(lab.admin.credential),
        next: textOf(late),
      }),
    });
    await whenLocked(lab.postgres, 1);
    holder.kill('SIGKILL');
    expect(await holder.exited).toEqual({ code: null, signal: 'SIGKILL' });
    const second = rotate(account.login, 2, newer);
    await whenLocked(lab.postgres, 2);
    await blocker.end();
    // A machine that was slow enough for the limit gives no answer; a holder would ask for another permit.
    let outcome = await second;
    for (let send = 3; send < 6 && outcome.kind === 'unknown'; send += 1) {
      outcome = await rotate(account.login, send, newer);
    }
    expect(outcome.kind).toBe('applied');
    expect(await answerFor({ account, credential: newer })).toBe('opens');
    expect(await answerFor({ account, credential: late })).toBe('refused');
  });

  test('what an operator wrote about a role stays before the number', async () => {
    const { account } = await lab.makeAccount(`it's "odd"`);
    const role = escapeIdentifier(account.login);
    await lab.postgres.psql('postgres', `COMMENT ON ROLE ${role} IS 'owner: o''Brien \\ [sallyport:x]'`);
    for (const send of [3, 12]) expect((await rotate(account.login, send, freshCredential())).kind).toBe('applied');
    const text = `SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'it''s "odd"'`;
    expect(await lab.postgres.psql('postgres', text)).toBe("owner: o'Brien \\ [sallyport:x] [sallyport:12]");
  });

  test('a server that asks for no password verifies nothing', async () => {
    const login = await lab.makeAccount();
    await lab.trustEverybody();
    expect(await answerFor(login)).toBe('unknown');
    expect(await answerFor({ ...login, credential: freshCredential() })).toBe('unknown');
  });
});
