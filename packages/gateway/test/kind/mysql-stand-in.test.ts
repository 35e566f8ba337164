import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { createSecureContext, TLSSocket } from 'node:tls';
import { newRouterIdentity } from '@sallyport/seal';
import { Secret } from '@sallyport/rotation';
import { createCleanup, kindWorld, startTcpTarget } from '@sallyport/testkit';
import { afterAll, expect, test } from 'vitest';
import { mysql } from '../../src/kind/mysql/mysql.ts';
import { accountOf, greetingOf, packet, target } from './mysql-lab.ts';

/** MySQL 8 cannot be started here: a stand-in says what its documentation says of `caching_sha2_password`. */
const cleanup = createCleanup();
afterAll(() => cleanup.run());

const text = "Is it's password";
const credential = { kind: 'password', password: new Secret(text) } as const;
const login = { account: accountOf('app'), credential };
const tlsRequestBytes = 36;
const challenge = Buffer.from('challenge-of-20-byte');

const sha256 = (...parts: readonly Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();
const ok = Buffer.from([0, 0, 0, 2, 0, 0, 0]);
const end = Buffer.from([0xfe, 0, 0, 2, 0]);
const currentUser = [Buffer.from([1]), Buffer.from('a column'), end, Buffer.from('\x05app@%'), end];

/** Whether the answer of a login shows the password, as a server sees it that keeps a hash of its hash. */
function isRight(request: Buffer): boolean {
  const answer = request.subarray(4 + 32 + 'app\0'.length + 1).subarray(0, 32);
  const mask = sha256(sha256(sha256(Buffer.from(text))), challenge);
  return sha256(Buffer.from(answer.map((byte, index) => byte ^ (mask[index] ?? 0)))).equals(
    sha256(sha256(Buffer.from(text))),
  );
}

interface Seen {
  isRight: boolean;
  password: string;
}

/** Answers packet by packet; `remembers`: it has seen this password since it was started. */
function serve(stream: Duplex, remembers: boolean, seen: Seen): void {
  let turn = 0;
  const say = (sequence: number, ...payloads: readonly Buffer[]): void => {
    stream.write(Buffer.concat(payloads.map((payload, index) => packet(payload, sequence + index))));
  };
  stream
    .on('error', () => undefined)
    .on('data', (bytes: Buffer) => {
      turn += 1;
      const sequence = (bytes[3] ?? 0) + 1;
      if (turn === 1) {
        seen.isRight = isRight(bytes);
        if (remembers) say(sequence, Buffer.from([1, 3]), ok);
        else say(sequence, Buffer.from([1, 4]));
      } else if (turn === 2 && !remembers) {
        seen.password = bytes.subarray(4).toString('utf8');
        say(sequence, ok);
      } else if (bytes[4] === 3) say(1, ...currentUser);
    });
}

const greeting = greetingOf('caching_sha2_password');

test('a server that remembers the password opens without having seen it', async () => {
  const seen = { isRight: false, password: '' };
  const { host, port } = await startTcpTarget(cleanup.later, (socket) => {
    socket.write(greeting);
    serve(socket, true, seen);
  });
  const world = kindWorld();
  const outcome = await mysql.probe({ ...target, host, port }, login, world.io, new AbortController().signal);
  expect(outcome).toEqual({ kind: 'opens', address: host });
  expect(seen).toEqual({ isRight: true, password: '' });
  await world.allClosed();
});

test('one that does not is given the password inside TLS', async () => {
  const seen = { isRight: false, password: '' };
  const identity = await newRouterIdentity(['127.0.0.1'], Date.now());
  const secureContext = createSecureContext({ key: identity.privateKeyPem, cert: identity.certificatePem });
  const { host, port } = await startTcpTarget(cleanup.later, (socket) => {
    socket.write(greeting);
    socket.once('readable', () => {
      expect((socket.read(tlsRequestBytes) as Buffer).byteLength).toBe(tlsRequestBytes);
      serve(new TLSSocket(socket, { isServer: true, secureContext }), false, seen);
    });
  });
  const world = kindWorld();
  const here = { ...target, host, port, useTls: true };
  const outcome = await mysql.probe(here, login, world.io, new AbortController().signal);
  expect(outcome).toEqual({ kind: 'opens', address: host });
  expect(seen).toEqual({ isRight: true, password: `${text}\0` });
  expect(world.identities).toEqual([{ kind: 'tls', value: `sha256:${identity.pin}` }]);
  await world.allClosed();
});
