import type { KindTarget } from '@sallyport/rotation';
import { Secret } from '@sallyport/rotation';
import { createFakeClock, type KindLab, kindCases, kindWorld, movedUntil } from '@sallyport/testkit';
import type { Document } from 'bson';
import { describe, expect, onTestFinished, test } from 'vitest';
import mongodb from '../src/index.ts';
import { writeMessage } from '../src/message.ts';
import { type Answer, hello, known, ok, type Script, startStandIn } from './mongo-stand-in.ts';

const target: KindTarget = {
  ...{ host: '127.0.0.1', port: 27_017, identity: null, useTls: true, recordType: 'pamDatabase' },
  ...{ databaseType: 'mongodb', directoryType: null, domain: null, replicas: [], custom: {} },
};
const accountOf = (login: string, database: string | null = null) => ({
  ...{ login, distinguishedName: null, database, custom: {} },
});
const passwordOf = (text: string) => ({ kind: 'password', password: new Secret(text) }) as const;
const login = { account: accountOf(known.user), credential: passwordOf(known.password) };
const never = (): AbortSignal => new AbortController().signal;

const lab: KindLab = {
  kind: mongodb,
  absent: { server: 'no MongoDB can be started where the tests run' },
  target,
  login,
  // What can be said before TLS stands is said by the suite; lies inside TLS are below.
  lies: {},
  server: () => {
    throw new Error('there is none');
  },
};

describe('MongoDB, without a server', () => {
  for (const { name, absent, run } of kindCases(lab)) test.skipIf(absent !== null)(name, run);
});

async function probe(port: number, { refuses = false, credential = login.credential } = {}) {
  const clock = createFakeClock();
  const world = kindWorld({ clock, refuses });
  const asked = mongodb.probe({ ...target, port }, { ...login, credential }, world.io, never());
  const outcome = await movedUntil(clock, asked);
  await world.allClosed();
  expect(clock.pending()).toBe(0);
  return outcome;
}
const atCommand =
  (name: string, answer: Answer): Script =>
  (command) =>
    name in command ? answer : undefined;

/** A message with other bytes in its head. */
const bent = (change: (message: Buffer) => void): Buffer => {
  const message = writeMessage(1, hello(1));
  message.writeInt32LE(1, 8);
  change(message);
  return message;
};
/** A document in a document, and so on, as deep as a message can hold. */
function nested(depth: number): Buffer {
  const innermost = 5;
  const wrap = 8;
  const body = Buffer.alloc(innermost + depth * wrap);
  for (let level = 0; level < depth; level += 1) {
    body.writeInt32LE(innermost + (depth - level) * wrap, level * 7);
    body.write('\u0003a\0', level * 7 + 4, 'latin1');
  }
  body.writeInt32LE(innermost, depth * 7);
  const head = bent((message) => message.writeUInt32LE(21 + body.byteLength, 0)).subarray(0, 21);
  return Buffer.concat([head, body]);
}

describe('MongoDB, with a protocol stand-in, which proves nothing about MongoDB', () => {
  test('a login is one attempt, shows no password, and leaves no socket', async () => {
    const server = await startStandIn(onTestFinished);
    expect(await probe(server.port)).toMatchObject({ kind: 'opens', address: '127.0.0.1' });
    expect(server.names()).toEqual(['hello', 'saslStart', 'saslContinue']);
    expect(server.commands[0]).toMatchObject({ saslSupportedMechs: 'admin.rotator', $db: 'admin' });
    expect(Buffer.from(JSON.stringify(server.commands)).toString()).not.toContain('pa=ss');
  });

  test('a wrong password is refused', async () => {
    const server = await startStandIn(onTestFinished);
    expect(await probe(server.port, { credential: passwordOf('another') })).toMatchObject({ kind: 'refused' });
  });

  test('nothing is asked of a server with another key', async () => {
    const server = await startStandIn(onTestFinished);
    expect(await probe(server.port, { refuses: true })).toMatchObject({ kind: 'unknown' });
    expect(server.commands).toEqual([]);
  });

  test('a server that does not know the password is no server to open', async () => {
    const server = await startStandIn(
      onTestFinished,
      atCommand('saslContinue', {
        ...{ ...ok, conversationId: 1, done: true, payload: Buffer.from(`v=${Buffer.alloc(32).toString('base64')}`) },
      }),
    );
    expect(await probe(server.port)).toMatchObject({ kind: 'unknown' });
  });

  test.each([1, 4_095, 200_001, 999_999_999])('%d iterations are not computed', async (iterations) => {
    const server = await startStandIn(onTestFinished, undefined, { iterations });
    expect(await probe(server.port)).toMatchObject({ kind: 'unknown' });
    expect(server.names()).toEqual(['hello', 'saslStart']);
  });

  test.each<readonly [string, string, Answer]>([
    ['a user with another mechanism', 'hello', { ...hello(1), saslSupportedMechs: ['SCRAM-SHA-1'] }],
    ['an old server', 'hello', { ...hello(1), maxWireVersion: 6 }],
    ['a refused hello', 'hello', { ok: 0, code: 59, errmsg: 'no such command' }],
    ['a closed connection', 'hello', null],
    ['silence', 'hello', 'silence'],
    ['silence to the password', 'saslContinue', 'silence'],
    ['a mechanism that is switched off', 'saslStart', { ok: 0, code: 334, errmsg: 'unavailable' }],
    [
      'another nonce',
      'saslStart',
      { ...ok, conversationId: 1, done: false, payload: Buffer.from('r=x,s=c2FsdA==,i=15000') },
    ],
    ['an answer without its parts', 'saslStart', ok],
    ['a message of four gigabytes', 'hello', bent((message) => message.writeUInt32LE(0xff_ff_ff_ff, 0))],
    ['a message of nothing', 'hello', bent((message) => message.writeUInt32LE(0, 0))],
    ['another kind of message', 'hello', bent((message) => message.writeUInt32LE(2_012, 12))],
    ['an answer to another request', 'hello', bent((message) => message.writeUInt32LE(7, 8))],
    ['an answer with more to come', 'hello', bent((message) => message.writeUInt32LE(2, 16))],
    ['a section of another kind', 'hello', bent((message) => message.writeUInt8(1, 20))],
    ['a document of another length', 'hello', bent((message) => message.writeUInt32LE(9, 21))],
    ['two answers at once', 'hello', Buffer.concat([bent(() => {}), bent(() => {})])],
    ['a document of thirty thousand levels', 'hello', nested(30_000)],
    ['noise', 'hello', Buffer.alloc(4_096, 0x5a)],
  ])('%s is no answer', async (_name, command, answer) => {
    const server = await startStandIn(onTestFinished, atCommand(command, answer));
    expect((await probe(server.port)).kind).toBe('unknown');
  });

  test('an answer that drips byte by byte is put together', async () => {
    const server = await startStandIn(onTestFinished, undefined, { drips: true });
    expect((await probe(server.port)).kind).toBe('opens');
  });

  test('without TLS, and with a password that clients write differently, nothing is dialled', async () => {
    const world = kindWorld();
    const plain = { ...target, useTls: false };
    expect(await mongodb.probe(plain, login, world.io, never())).toMatchObject({ kind: 'unknown' });
    const other = { ...login, credential: passwordOf('Grüße') };
    expect(await mongodb.probe(target, other, world.io, never())).toMatchObject({ kind: 'unknown' });
    expect(world.dialled()).toBe(0);
  });

  async function connected(script?: Script) {
    const server = await startStandIn(onTestFinished, script, { users: [['app', 'old password']] });
    const clock = createFakeClock();
    const world = kindWorld({ clock });
    const outcome = await mongodb.connect({ ...target, port: server.port }, login, world.io, never());
    if (outcome.kind !== 'connected') throw new Error(outcome.message);
    return {
      ...{ server, clock, session: outcome.session },
      async end() {
        await outcome.session.close();
        await outcome.session.close();
        await world.allClosed();
        expect(clock.pending()).toBe(0);
      },
    };
  }
  const order = {
    account: accountOf('app', 'shop'),
    send: 7,
    next: passwordOf('new password'),
    old: null,
    limitMs: 5_000,
  };

  test('a write is one command, for a majority, with a limit of the server', async () => {
    const { server, session, end } = await connected();
    expect(await session.apply(order, never())).toEqual({ kind: 'applied' });
    expect(server.commands.slice(3)).toEqual([
      {
        ...{ updateUser: 'app', pwd: 'new password', comment: 'sallyport rotation', maxTimeMS: 5_000, $db: 'shop' },
        writeConcern: { w: 'majority', wtimeout: 5_000 },
      },
    ]);
    await end();
  });

  test.each<readonly [string, Answer]>([
    ['denied', { ok: 0, code: 11, errmsg: 'no such user' }],
    ['denied', { ok: 0, code: 13, errmsg: 'not allowed' }],
    ['denied', { ok: 0, code: 10_107, errmsg: 'not primary' }],
    ['unknown', { ok: 0, code: 50, errmsg: 'time over' }],
    ['unknown', { ok: 0, code: 189, errmsg: 'stepped down' }],
    ['unknown', { ok: 0 }],
    ['unknown', { ok: 1, writeConcernError: { code: 64, errmsg: 'waiting for replication timed out' } }],
    ['unknown', {}],
    ['unknown', null],
    ['unknown', 'silence'],
  ])('what a write ended with is %s: case %#', async (kind, answer) => {
    const { clock, session, end } = await connected(atCommand('updateUser', answer));
    expect((await movedUntil(clock, session.apply(order, never()))).kind).toBe(kind);
    await end();
  });

  test('a password that the server shows in its words is not shown; an ended signal sends no write', async () => {
    const { server, session, end } = await connected(
      atCommand('updateUser', { ok: 0, code: 2, errmsg: 'bad value: new password' }),
    );
    const over = AbortSignal.abort(new Error('before'));
    expect((await session.apply(order, over)).kind).toBe('unknown');
    expect(server.names()).not.toContain('updateUser');
    expect(await session.apply(order, never())).toEqual({ kind: 'denied', message: '2 bad value: [secret]' });
    await end();
  });

  const role = (db: string, actions: readonly string[]) => ({ resource: { db, collection: '' }, actions });
  const looks = (users: readonly Document[], privileges: readonly Document[]): Script => {
    const authInfo = { authenticatedUserPrivileges: privileges };
    return (command) => {
      if ('usersInfo' in command) return { ...ok, users };
      return 'connectionStatus' in command ? { ...ok, authInfo } : undefined;
    };
  };
  test.each([
    [0, 'app', [{ mechanisms: ['SCRAM-SHA-256'] }], [role('shop', ['changePassword'])]],
    [0, 'app', [{ mechanisms: ['SCRAM-SHA-256'] }], [{ resource: { anyResource: true }, actions: ['changePassword'] }]],
    [1, 'app', [{ mechanisms: ['SCRAM-SHA-256'] }], [role('other', ['changePassword'])]],
    [1, 'app', [{ mechanisms: ['SCRAM-SHA-256'] }], [role('shop', ['changeOwnPassword'])]],
    [1, 'app', [{ mechanisms: ['SCRAM-SHA-1'] }], [role('', ['changePassword'])]],
    [2, 'app', [], [role('', ['changePassword'])]],
  ])('a dry run finds %d things wrong: case %#', async (wrong, name, users, privileges) => {
    const { server, session, end } = await connected(looks(users, privileges));
    const found = await session.check(accountOf(name, 'shop'));
    expect(found.filter(({ holds }) => !holds)).toHaveLength(wrong);
    expect(server.names()).not.toContain('updateUser');
    await end();
  });

  test('a secondary agrees when its log is where the primary’s was, and nobody logs in for that', async () => {
    const { session, end } = await connected();
    const behind = await startStandIn(onTestFinished, () => hello(99));
    const level = await startStandIn(onTestFinished, () => hello(100));
    const stranger = await startStandIn(onTestFinished, () => hello(200, 'rs1'));
    const agrees = [];
    for (const { port } of [behind, level, stranger])
      agrees.push(await session.agrees?.({ host: '127.0.0.1', port }, order.account, never()));
    expect(agrees).toEqual([false, true, false]);
    expect(level.names()).toEqual(['hello']);
    await end();
  });
});
