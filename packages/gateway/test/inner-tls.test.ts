import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import { newSessionIdentity, type TlsIdentity } from '@sallyport/seal';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { clientLeg, type Lab, roundTrip, startLab } from './lab/lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await startLab();
});
afterAll(async () => {
  await lab.close();
});

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((turn) => setTimeout(turn, 5));
}

/** Resolves when the other side ended it, whichever way. */
const over = (socket: Socket): Promise<void> =>
  new Promise((done) => {
    for (const event of ['close', 'end', 'error']) socket.once(event, () => done());
  });

/** Runs one hostile handshake over the relay and answers what the target saw and how the instance ended the stream. */
async function attempt(options: tls.ConnectionOptions, say = 'OPEN'): Promise<{ dialled: number; reason: unknown }> {
  const before = lab.target.accepted.length;
  const dispatched = await lab.dispatch();
  expect(dispatched.result.kind).toBe('accepted');
  const leg = await clientLeg(lab.router, dispatched);
  leg.on('error', () => undefined);
  const socket = tls.connect({ socket: leg, rejectUnauthorized: false, ...options });
  socket.on('error', () => undefined);
  socket.on('secureConnect', () => socket.write(say));
  socket.resume();
  await Promise.race([over(socket), over(leg)]);
  socket.destroy();
  leg.destroy();
  const ended = (): unknown =>
    lab.log.find(({ message, fields }) => message === 'stream ended' && fields['stream'] === dispatched.claims.stream)
      ?.fields['reason'];
  await until(() => ended() !== undefined);
  return { dialled: lab.target.accepted.length - before, reason: ended() };
}
const withKey = ({ certificatePem, privateKeyPem }: TlsIdentity): tls.ConnectionOptions => ({
  cert: certificatePem,
  key: privateKeyPem,
});
const good: tls.ConnectionOptions = { minVersion: 'TLSv1.3', ALPNProtocols: ['sallyport/1'] };

test('the same handshake with the right key does reach the target, so that the refusals below mean something', async () => {
  const dispatched = await lab.dispatch();
  expect(await roundTrip(await lab.open(dispatched), 'right')).toBe('right');
});

test('a client without a certificate reaches nothing', async () => {
  expect((await attempt(good)).dialled).toBe(0);
});

test('a client with another key than the request names reaches nothing', async () => {
  const other = await newSessionIdentity(Date.now());
  expect((await attempt({ ...good, ...withKey(other) })).dialled).toBe(0);
});

test('a client with a session certificate that expired reaches nothing', async () => {
  const old = await newSessionIdentity(Date.now() - 14 * 3_600_000);
  const before = lab.target.accepted.length;
  const dispatched = await lab.dispatch({ claims: lab.claims({ cnf: old.thumbprint }) });
  const opening = await lab.open(dispatched, old);
  expect(opening).toMatchObject({ kind: 'refused', class: 'denied' });
  expect(lab.target.accepted).toHaveLength(before);
});

test('the certificate of an instance of the pool, or of another pool, is no session key', async () => {
  const { newInstanceIdentity, newSigningKey } = await import('@sallyport/seal');
  for (const pool of [lab.installation.pool, await newSigningKey()]) {
    const identity = await newInstanceIdentity(pool, lab.installation.gateway, Date.now());
    expect((await attempt({ ...good, ...withKey(identity) })).dialled).toBe(0);
  }
});

test('TLS 1.2 reaches nothing', async () => {
  const { dialled } = await attempt({
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.2',
    ALPNProtocols: ['sallyport/1'],
    ...withKey(lab.session),
  });
  expect(dialled).toBe(0);
});

test.each(['sallyport/2', 'http/1.1', null])('ALPN %s reaches nothing', async (protocol) => {
  const alpn = protocol === null ? {} : { ALPNProtocols: [protocol] };
  expect((await attempt({ minVersion: 'TLSv1.3', ...alpn, ...withKey(lab.session) })).dialled).toBe(0);
});

test('a session offered again is not resumed into a stream', async () => {
  const dispatched = await lab.dispatch();
  const leg = await clientLeg(lab.router, dispatched);
  const first = tls.connect({ socket: leg, rejectUnauthorized: false, ...good, ...withKey(lab.session) });
  first.on('error', () => undefined);
  const session = await Promise.race([
    new Promise<Buffer>((got) => first.once('session', got)),
    once(first, 'data').then(() => first.getSession() ?? Buffer.alloc(0)),
  ]);
  first.destroy();
  leg.destroy();
  const { dialled } = await attempt({ ...good, ...withKey(lab.session), session }, 'resumed');
  expect(dialled).toBe(0);
});

test('rubbish and a plain request in place of TLS reach nothing', async () => {
  for (const text of ['GET / HTTP/1.1\r\n\r\n', '\0'.repeat(512), createHash('sha512').update('x').digest('hex')]) {
    const before = lab.target.accepted.length;
    const dispatched = await lab.dispatch();
    const leg = await clientLeg(lab.router, dispatched);
    leg.on('error', () => undefined);
    leg.resume();
    leg.write(text);
    await over(leg);
    leg.destroy();
    expect(lab.target.accepted).toHaveLength(before);
  }
});

test('the client proves its key and says something else than OPEN: nothing is dialled', async () => {
  expect((await attempt({ ...good, ...withKey(lab.session) }, 'GET / HTTP/1.1\r\n\r\n')).dialled).toBe(0);
});
