import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createServer, type TLSSocket } from 'node:tls';
import { type KindIo, type KindTarget, Secret, type TargetKind } from '@sallyport/rotation';
import {
  createFakeClock,
  kindWorld,
  makeServerKey,
  movedUntil,
  sink,
  startTcpTarget,
  tempDir,
} from '@sallyport/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { inTreeKinds } from '../../src/kind/index.ts';
import { element, integer, numberOf, octets, readElement, sequence, set, tags } from '../../src/kind/ldap/ber.ts';

const kinds = new Map(inTreeKinds.map((kind) => [kind.description.name, kind]));
const openldap = kinds.get('openldap') as TargetKind;

const never = (): AbortSignal => new AbortController().signal;
const secret = 'a-secret-of-the-test';
const name = 'cn=somebody,dc=lab,dc=test';
const login = {
  account: { login: name, distinguishedName: null, database: null, custom: {} },
  credential: { kind: 'password', password: new Secret(secret) },
} as const;

const targetOf = (port: number): KindTarget => ({
  ...{ host: '127.0.0.1', port, identity: null, useTls: true, recordType: 'pamDirectory', databaseType: null },
  ...{ directoryType: 'openldap', domain: null, replicas: [], custom: {} },
});

/** One request as the server sees it: its message id and the tag of its operation. */
interface Request {
  readonly id: number;
  readonly operation: number;
}
type Answer = (request: Request, socket: TLSSocket) => void;

const bindTag = 0x60;
const searchTag = 0x63;
const result = (id: number, tag: number, code: number, text = '', ...more: readonly Buffer[]): Buffer =>
  sequence(integer(id), element(tag, integer(code, tags.enumerated), octets(''), octets(text), ...more));
const opened = (id: number): Buffer => result(id, 0x61, 0);
const referralTo = (port: number): Buffer => element(0xa3, octets(`ldap://127.0.0.1:${port}/${name}`));
const entry = (id: number, size = 1): Buffer => {
  const values = Array.from({ length: size }, () => octets('value'));
  return sequence(integer(id), element(0x64, octets(name), sequence(sequence(octets('cn'), set(...values)))));
};

/** A directory that does what it likes once TLS stands. */
async function startLiar(answer: Answer): Promise<{ readonly port: number; readonly seen: readonly Request[] }> {
  const folder = tempDir(onTestFinished);
  await makeServerKey(folder, 'localhost', '127.0.0.1');
  const [key, cert] = ['key.pem', 'cert.pem'].map((file) => readFileSync(join(folder, file)));
  const seen: Request[] = [];
  const sockets = new Set<TLSSocket>();
  const server = createServer({ key, cert }, (socket) => {
    let bytes: Buffer = Buffer.alloc(0);
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      for (let read = readElement(bytes); read.kind === 'element'; read = readElement(bytes)) {
        bytes = bytes.subarray(read.length);
        const [id, operation] = read.element.parts;
        const request = { id: numberOf(id) ?? 0, operation: operation?.tag ?? 0 };
        seen.push(request);
        answer(request, socket);
      }
    });
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const address = server.address();
  return { port: address !== null && typeof address === 'object' ? address.port : 0, seen };
}

const nested = (depth: number): Buffer => {
  let bytes: Buffer = octets('x');
  for (let level = 0; level < depth; level += 1) bytes = sequence(bytes);
  return bytes;
};

const lies: Readonly<Record<string, (id: number) => Buffer>> = {
  'a message of two gigabytes': () => Buffer.from('30847fffffff020101', 'hex'),
  'ten thousand wholes around one part': () => nested(10_000),
  'a message of small parts': (id) =>
    sequence(integer(id), ...Array.from({ length: 60_000 }, () => Buffer.from([4, 0]))),
  'a control list that ends within a header': (id) =>
    sequence(
      integer(id),
      element(0x61, integer(0, tags.enumerated), octets(''), octets('')),
      Buffer.from([0xa0, 1, 0x30]),
    ),
  'an answer to another message': (id) => opened(id + 1),
  'an answer to another operation': (id) => result(id, 0x67, 0),
  'an entry in the place of an end': (id) => sequence(integer(id), element(0x64, octets(name))),
  'a result without its parts': (id) => sequence(integer(id), element(0x61)),
  'a notice that it ends': () => result(0, 0x78, 52),
};

test.each(Object.entries(lies))('a directory that answers a login with %s is no answer', async (_name, lie) => {
  const liar = await startLiar(({ id }, socket) => void socket.write(lie(id)));
  const world = kindWorld({ clock: createFakeClock() });
  const outcome = await openldap.probe(targetOf(liar.port), login, world.io, never());
  expect(outcome.kind).toBe('unknown');
  expect(liar.seen).toEqual([{ id: 1, operation: bindTag }]);
  await world.allClosed();
});

test('an answer that drips byte by byte is put together', async () => {
  const liar = await startLiar(({ id, operation }, socket) => {
    if (operation === bindTag) for (const byte of opened(id)) socket.write(Buffer.from([byte]));
  });
  const world = kindWorld();
  expect((await openldap.probe(targetOf(liar.port), login, world.io, never())).kind).toBe('opens');
  await world.allClosed();
});

test('a directory that says nothing after TLS is given up by our own clock', async () => {
  const liar = await startLiar(() => {});
  const clock = createFakeClock();
  const world = kindWorld({ clock });
  const outcome = await movedUntil(clock, openldap.probe(targetOf(liar.port), login, world.io, never()));
  expect(outcome.kind).toBe('unknown');
  await world.allClosed();
  expect(clock.pending()).toBe(0);
});

test('a referral is never followed, at a login or at a write', async () => {
  const elsewhere = await startTcpTarget(onTestFinished, sink);
  const refusing = await startLiar(({ id }, socket) => {
    socket.write(result(id, 0x61, 10, '', referralTo(elsewhere.port)));
  });
  const world = kindWorld();
  expect((await openldap.probe(targetOf(refusing.port), login, world.io, never())).kind).toBe('unknown');
  await world.allClosed();
  const writing = await startLiar(({ id, operation }, socket) => {
    if (operation === bindTag) socket.write(opened(id));
    else if (operation === searchTag) socket.write(Buffer.concat([entry(id), result(id, 0x65, 0)]));
    else socket.write(result(id, 0x67, 10, '', referralTo(elsewhere.port)));
  });
  const outcome = await openldap.connect(targetOf(writing.port), login, world.io, never());
  if (outcome.kind !== 'connected') throw new Error(outcome.message);
  const account = { ...login.account, login: 'cn=another,dc=lab,dc=test' };
  const order = { account, send: 1, next: login.credential, old: null, limitMs: 5_000 };
  expect((await outcome.session.apply(order, never())).kind).toBe('denied');
  await outcome.session.close();
  await world.allClosed();
  expect(elsewhere.accepted).toEqual([]);
});

test('entries without an end are not collected', async () => {
  const liar = await startLiar(({ id, operation }, socket) => {
    if (operation === bindTag) socket.write(opened(id));
    else for (let count = 0; count < 1_000 && !socket.destroyed; count += 1) socket.write(entry(id, 100));
  });
  const world = kindWorld();
  const outcome = await openldap.connect(targetOf(liar.port), login, world.io, never());
  if (outcome.kind !== 'connected') throw new Error(outcome.message);
  const account = { ...login.account, login: 'cn=another,dc=lab,dc=test' };
  await expect(outcome.session.mark(account)).rejects.toMatchObject({ code: 'PAM_TARGET_RESET' });
  await outcome.session.close();
  await world.allClosed();
});

test('a password that the directory sends back is not shown', async () => {
  const liar = await startLiar(
    ({ id }, socket) => void socket.write(result(id, 0x61, 80, `no such password: ${secret}`)),
  );
  const world = kindWorld();
  const outcome = await openldap.probe(targetOf(liar.port), login, world.io, never());
  expect(outcome).toMatchObject({ kind: 'unknown' });
  expect(JSON.stringify(outcome)).not.toContain(secret);
  await world.allClosed();
});

/** A world whose dial of port 389 ends at `port`: StartTLS is spoken there and nowhere else. */
function plainWorld(port: number): { readonly io: KindIo; allClosed(): Promise<void> } {
  const world = kindWorld();
  return {
    io: { ...world.io, dial: (host, _port, signal) => world.io.dial(host, port, signal) },
    allClosed: world.allClosed,
  };
}

test('what stands in the clear behind the answer to StartTLS is not taken for an answer inside', async () => {
  const seen: number[] = [];
  const server = await startTcpTarget(onTestFinished, (socket) => {
    socket.on('data', (chunk: Buffer) => {
      seen.push(chunk[0] ?? 0);
      socket.write(Buffer.concat([result(1, 0x78, 0), opened(1)]));
    });
  });
  const world = plainWorld(server.port);
  expect((await openldap.probe(targetOf(389), login, world.io, never())).kind).toBe('unreachable');
  await world.allClosed();
  expect(seen).toHaveLength(1);
});

test('a directory without StartTLS, and a record without TLS, get no password', async () => {
  const seen: Buffer[] = [];
  const server = await startTcpTarget(onTestFinished, (socket) => {
    socket.on('data', (chunk: Buffer) => {
      seen.push(chunk);
      socket.write(result(1, 0x78, 2, 'unsupported'));
    });
  });
  const world = plainWorld(server.port);
  expect((await openldap.probe(targetOf(389), login, world.io, never())).kind).toBe('unreachable');
  const plain = { ...targetOf(server.port), useTls: false };
  expect((await openldap.probe(plain, login, world.io, never())).kind).toBe('unknown');
  await world.allClosed();
  expect(server.accepted).toHaveLength(1);
  expect(Buffer.concat(seen).toString('latin1')).not.toContain(secret);
});

test('an empty password is refused before anything is dialled', async () => {
  const world = kindWorld();
  const nobody = { ...login, credential: { kind: 'password', password: new Secret('') } } as const;
  expect((await openldap.probe(targetOf(1), nobody, world.io, never())).kind).toBe('refused');
  expect(world.dialled()).toBe(0);
});
