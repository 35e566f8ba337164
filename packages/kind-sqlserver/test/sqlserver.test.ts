import type { KindTarget } from '@sallyport/rotation';
import { Secret } from '@sallyport/rotation';
import {
  createFakeClock,
  createSeededRandom,
  type KindLab,
  kindCases,
  kindWorld,
  movedUntil,
} from '@sallyport/testkit';
import { describe, expect, onTestFinished, test } from 'vitest';
import sqlserver from '../src/index.ts';
import {
  type Answer,
  done,
  failed,
  opened,
  routing,
  row,
  type Script,
  type StandIn,
  startStandIn,
} from './tds-stand-in.ts';

const target: KindTarget = {
  ...{ host: '127.0.0.1', port: 1433, identity: null, useTls: true, recordType: 'pamDatabase', databaseType: 'mssql' },
  ...{ directoryType: null, domain: null, replicas: [], custom: {} },
};
const accountOf = (login: string) => ({ login, distinguishedName: null, database: null, custom: {} });
const passwordOf = (text: string) => ({ kind: 'password', password: new Secret(text) }) as const;
const login = { account: accountOf('rotator'), credential: passwordOf("the rotator's password") };
const never = (): AbortSignal => new AbortController().signal;

/** Whole packets of a greeting: type, status, length, then options. */
const greeting = (body: Uint8Array, status = 1): Buffer =>
  Buffer.concat([Buffer.from([4, status, 0, body.byteLength + 8, 0, 0, 1, 0]), body]);
const encryption = (value: number): Buffer => Buffer.from([1, 0, 6, 0, 1, 0xff, value]);

const lab: KindLab = {
  kind: sqlserver,
  absent: { server: 'no SQL Server can be started where the tests run' },
  target,
  login,
  lies: {
    'a packet shorter than its head': Buffer.from([4, 1, 0, 3, 0, 0, 1, 0]),
    'a packet of 64 KiB': Buffer.from([4, 1, 0xff, 0xff, 0, 0, 1, 0]),
    'options without an end': greeting(Buffer.from([0, 0, 6, 0, 6])),
    'an option behind the end': greeting(Buffer.from([1, 0xff, 0xff, 0xff, 0xff, 0xff])),
    'no encryption': greeting(encryption(2)),
    'encryption, and no TLS': Buffer.concat([greeting(encryption(1)), greeting(Buffer.from('no TLS'))]),
    'a greeting of a byte a packet': Buffer.concat(Array.from({ length: 20_000 }, () => greeting(Buffer.from([0]), 0))),
  },
  server: () => {
    throw new Error('there is none');
  },
};

describe('SQL Server, without a server', () => {
  for (const { name, absent, run } of kindCases(lab)) test.skipIf(absent !== null)(name, run);
});

/** More of them are walked with another number here, by hand. */
const garbledLogins = 24;
const written = row({ written: '7' });

const standIn = (script: Partial<Script>): Promise<StandIn> =>
  startStandIn(onTestFinished, { onLogin: () => opened, onText: () => written, ...script });

async function probe(port: number, refuses = false): Promise<string> {
  const world = kindWorld({ refuses });
  const outcome = await sqlserver.probe({ ...target, port }, login, world.io, never());
  await world.allClosed();
  return outcome.kind;
}

describe('SQL Server, with a protocol stand-in, which proves nothing about SQL Server', () => {
  test('a login is one attempt, inside TLS, and leaves no socket', async () => {
    const server = await standIn({});
    expect(await probe(server.port)).toBe('opens');
    expect(server.logins).toEqual([{ name: 'rotator', password: "the rotator's password" }]);
  });

  test('no credential is shown to a server with another key', async () => {
    const server = await standIn({});
    expect(await probe(server.port, true)).toBe('unknown');
    expect(await probe(server.port)).toBe('opens');
    expect(server.logins).toHaveLength(1);
  });

  test('the key is told as of every TLS target', async () => {
    const server = await standIn({});
    const world = kindWorld();
    await sqlserver.probe({ ...target, port: server.port }, login, world.io, never());
    await world.allClosed();
    expect(world.identities).toEqual([{ kind: 'tls', value: expect.stringMatching(/^sha256:[\w-]{43}$/) }]);
  });

  test.each([
    ['refused', failed(18_456)],
    ['locked', failed(18_486)],
    ['locked', failed(18_470)],
    ['expired', failed(18_487)],
    ['expired', failed(18_488)],
    ['unknown', failed(18_401)],
    ['unknown', Buffer.concat([failed(4_060), failed(18_456)])],
    ['unknown', Buffer.concat([routing('127.0.0.1', 9), opened])],
    ['unknown', done],
    ['unknown', Buffer.from([0xaa, 0xff, 0xff])],
    ['unknown', Buffer.alloc(2_000, 0x81)],
    ['unknown', null],
  ])('what a login ended with is %s: case %#', async (kind, answer) => {
    const server = await standIn({ onLogin: () => answer });
    expect(await probe(server.port)).toBe(kind);
    expect(server.logins).toHaveLength(1);
  });

  test('without TLS in the record nothing is dialled', async () => {
    const world = kindWorld();
    const outcome = await sqlserver.probe({ ...target, useTls: false }, login, world.io, never());
    expect(outcome).toMatchObject({ kind: 'unknown' });
    expect(world.dialled()).toBe(0);
  });

  async function write(script: Partial<Script>, account = 'app', signal = never()) {
    const server = await standIn(script);
    const clock = createFakeClock();
    const world = kindWorld({ clock });
    const outcome = await sqlserver.connect({ ...target, port: server.port }, login, world.io, never());
    if (outcome.kind !== 'connected') throw new Error(outcome.message);
    const { session } = outcome;
    const next = passwordOf("it's a [new] password");
    const order = { account: accountOf(account), send: 7, next, old: null, limitMs: 5_000 };
    const applied = await movedUntil(clock, session.apply(order, signal));
    await session.close();
    await session.close();
    await world.allClosed();
    expect(clock.pending()).toBe(0);
    expect(JSON.stringify(applied)).not.toContain('new] password');
    return { applied, texts: server.texts };
  }
  const always = (answer: Answer) => ({
    onText: (text: string) => (text.includes('ALTER LOGIN') ? answer : done),
  });

  const numbered = (answer: Buffer | null): boolean => answer?.[0] === 0xaa && answer.byteLength > 40;

  test('a write is one batch, in which names and passwords are text', async () => {
    const { applied, texts } = await write({}, "x]; DROP LOGIN sa; --'");
    expect(applied).toEqual({ kind: 'applied' });
    expect(texts).toHaveLength(1);
    expect(texts[0]).toContain("ALTER LOGIN [x]]; DROP LOGIN sa; --'] WITH PASSWORD = N'it''s a [new] password';");
    expect(texts[0]).toContain("WHERE name = N'x]; DROP LOGIN sa; --''')");
  });

  test.each([
    ['fenced', 'app', failed(58_301)],
    ['policy', 'app', failed(15_118)],
    ['policy', 'app', failed(15_115)],
    ['denied', 'app', failed(15_114)],
    ['denied', 'app', failed(15_151)],
    ['denied', 'app', failed(208)],
    ['denied', 'app', failed(58_302)],
    ['fenced', 'rotator', failed(15_151)],
    ['policy', 'rotator', failed(15_116)],
    ['unknown', 'app', failed(1_222)],
    ['unknown', 'app', failed(58_303)],
    ['unknown', 'app', Buffer.concat([failed(15_118).subarray(0, 40)])],
    ['unknown', 'app', Buffer.from([0x55])],
    ['unknown', 'app', Buffer.alloc(0)],
    ['unknown', 'app', done],
    ['unknown', 'app', row({ written: '8' })],
    ['unknown', 'app', null],
  ])('what a write ended with is %s, for %s: case %#', async (kind, account, answer) => {
    const { applied, texts } = await write(always(answer), account);
    expect(applied.kind).toBe(kind);
    // Only a server that said what went wrong is asked to take back what may have been left open.
    expect(texts.filter((text) => text.includes('ROLLBACK'))).toHaveLength(numbered(answer) ? 1 : 0);
  });

  test('a password that the server shows in its words is not shown', async () => {
    const { applied } = await write(always(failed(1_222, "near it's a [new] password")));
    expect(applied).toMatchObject({ kind: 'unknown', message: '1222 near [secret]' });
  });

  test('a thousand errors are one short message, in a login and in a write', async () => {
    const flood = Buffer.concat(Array.from({ length: 1_000 }, () => failed(2_147_483_647, 'no')));
    const { applied } = await write(always(flood));
    expect(applied).toMatchObject({ kind: 'unknown', message: expect.stringMatching(/^.{20,256}$/) });
    const server = await standIn({ onLogin: () => flood });
    const world = kindWorld();
    const outcome = await sqlserver.probe({ ...target, port: server.port }, login, world.io, never());
    await world.allClosed();
    expect(outcome).toMatchObject({ kind: 'unknown', message: expect.stringMatching(/^.{20,256}$/) });
  });

  test('an ended signal sends no write', async () => {
    const { applied, texts } = await write({}, 'app', AbortSignal.abort(new Error('before')));
    expect(applied.kind).toBe('unknown');
    expect(texts).toEqual([]);
  });

  test('a write that is not answered is unknown after its limit', async () => {
    const { applied } = await write(always('silence'));
    expect(applied.kind).toBe('unknown');
  });

  test('a login that changes itself names its old password', async () => {
    const { applied, texts } = await write({}, 'rotator');
    expect(applied).toEqual({ kind: 'applied' });
    expect(texts[0]).toContain(
      "ALTER LOGIN [rotator] WITH PASSWORD = N'it''s a [new] password' OLD_PASSWORD = N'the rotator''s password';",
    );
    expect(texts[0]).not.toContain('TRANSACTION');
  });

  test('answers that are no answers, in pieces of true ones, neither hang nor end the process', async () => {
    const random = createSeededRandom(16);
    const whole = [opened, done, failed(15_118), row({ mark: '12', is_there: 1 }), routing('elsewhere', 9)];
    const garbled = (): Buffer => {
      const bytes = Buffer.concat(
        Array.from({ length: 4 }, () => whole[Math.floor(random.next() * whole.length)] ?? done),
      );
      for (let count = 0; count < 6; count += 1)
        bytes[Math.floor(random.next() * bytes.byteLength)] = Math.floor(random.next() * 256);
      return bytes.subarray(0, 1 + Math.floor(random.next() * bytes.byteLength));
    };
    let isIn = false;
    const server = await standIn({ onLogin: () => (isIn ? opened : garbled()), onText: garbled });
    for (let count = 0; count < garbledLogins; count += 1) {
      isIn = count % 2 === 0;
      const clock = createFakeClock();
      const world = kindWorld({ clock });
      const place = { ...target, port: server.port };
      const outcome = await movedUntil(clock, sqlserver.connect(place, login, world.io, never()));
      if (outcome.kind === 'connected') {
        const { session } = outcome;
        const order = { account: accountOf('app'), send: 7, next: passwordOf('next'), old: null, limitMs: 1_000 };
        expect((await movedUntil(clock, session.apply(order, never()))).kind).not.toBe('applied');
        await session.close();
      }
      await world.allClosed();
      expect(clock.pending()).toBe(0);
    }
    expect(server.logins.length).toBeGreaterThan(garbledLogins / 2);
  });

  test('the send number and a dry run are read from rows', async () => {
    const all = { is_there: 1, is_disabled: 0, is_locked: 0, may_alter: 1, controls: 0, is_sysadmin: 0 };
    const table = { reads: 1, inserts: 1, updates: 1 };
    const answers = [
      row({ mark: '12' }),
      row({ ...all, ...table }),
      row({ ...all, ...table, is_sysadmin: 1, updates: 0 }),
    ];
    const server = await standIn({ onText: () => answers.shift() ?? failed(208) });
    const world = kindWorld();
    const outcome = await sqlserver.connect({ ...target, port: server.port }, login, world.io, never());
    if (outcome.kind !== 'connected') throw new Error(outcome.message);
    const { session } = outcome;
    const account = accountOf('app');
    expect(await session.mark(account)).toBe(12);
    expect((await session.check(account)).filter(({ holds }) => !holds)).toEqual([]);
    expect((await session.check(account)).filter(({ holds }) => !holds)).toHaveLength(2);
    expect(await session.mark(account)).toBe(0);
    await session.close();
    await world.allClosed();
  });
});
