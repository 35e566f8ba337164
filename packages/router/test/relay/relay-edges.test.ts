import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { encodePreamble, legStatus } from '@sallyport/protocol';
import { newRouterIdentity } from '@sallyport/seal';
import { connectLeg, decodeTicket, echoLeg, parkLeg } from '@sallyport/stream';
import { afterEach, expect, test } from 'vitest';
import { type Relay, type RelayEvents, type RelayLimits, startRelay } from '../../src/relay/index.ts';
import { makeEnds, never, newTicket, openPipe, startTarget } from './pipe.ts';
import { takeTls } from '../support/take-tls.ts';

const relays: Relay[] = [];
const sockets: Duplex[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const relay of relays.splice(0)) await relay.close();
});

async function start(events: Partial<RelayEvents> = {}, limits: Partial<RelayLimits> = {}): Promise<Relay> {
  const relay = await startRelay({
    host: '127.0.0.1',
    port: 0,
    log: () => undefined,
    events: { onTls: (waiting) => waiting.refuse(), ...events },
    limits,
  });
  relays.push(relay);
  return relay;
}

function dial(relay: Relay): Socket {
  const socket = connect({ port: relay.port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => undefined);
  sockets.push(socket);
  return socket;
}

/** All that the relay says until it closes. */
async function lastWords(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (bytes: Buffer) => chunks.push(bytes));
  if (!socket.destroyed) await once(socket, 'close');
  return Buffer.concat(chunks);
}
const address = (relay: Relay) => ({ host: '127.0.0.1', port: relay.port });
const leg = (relay: Relay, role: 'client' | 'instance', ticket: string) =>
  connectLeg({ address: address(relay), role, ticket: decodeTicket(ticket), signal: never });

test('names each refusal to the leg: unknown, used, alone', async () => {
  const relay = await start({}, { aloneAfterMs: 100 });
  const [ticket, other] = [newTicket(), newTicket()];
  await relay.expect([{ ticket, role: 'client', match: 'm' }]);
  await expect(leg(relay, 'client', other)).rejects.toMatchObject({
    code: 'PAM_LEG_FAILED',
    detail: { status: 'unknown' },
  });
  await expect(leg(relay, 'instance', ticket)).rejects.toMatchObject({ detail: { status: 'unknown' } });
  await expect(leg(relay, 'client', ticket)).rejects.toMatchObject({ detail: { status: 'alone' } });
  await expect(leg(relay, 'client', ticket)).rejects.toMatchObject({ detail: { status: 'used' } });
});

test('reads a preamble that comes one byte at a time', async () => {
  const relay = await start();
  const ticket = newTicket();
  await relay.expect([{ ticket, role: 'echo', match: 'e' }]);
  const socket = dial(relay);
  const said = lastWords(socket);
  for (const byte of encodePreamble('echo', decodeTicket(ticket))) {
    socket.write(Uint8Array.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect([...(await said)]).toEqual([legStatus.echoed]);
});

test('answers an echo leg and reports it', async () => {
  const echoed = Promise.withResolvers<string>();
  const relay = await start({ onEchoed: echoed.resolve });
  const ticket = newTicket();
  await relay.expect([{ ticket, role: 'echo', match: 'e' }]);
  await echoLeg({ address: address(relay), ticket: decodeTicket(ticket), signal: never });
  expect(await echoed.promise).toBe(ticket);
});

test('binds a leg dialled ahead to a dispatch', async () => {
  const parked = Promise.withResolvers<number>();
  const bound = Promise.withResolvers<string>();
  const relay = await start({
    onParked: (_, leg) => parked.resolve(leg),
    onBound: (_, ticket) => bound.resolve(ticket),
  });
  const [park, client, instance] = [newTicket(), newTicket(), newTicket()];
  await relay.expect([
    { ticket: park, role: 'park', match: 'p' },
    { ticket: client, role: 'client', match: 'm' },
    { ticket: instance, role: 'instance', match: 'm' },
  ]);
  const ahead = await parkLeg({ address: address(relay), ticket: decodeTicket(park), signal: never });
  relay.bind({ leg: await parked.promise, ticket: instance });
  const dispatched = await ahead.bound;
  expect(Buffer.from(dispatched.ticket).toString('base64url')).toBe(instance);
  const [near, far] = await Promise.all([leg(relay, 'client', client), dispatched.matched]);
  sockets.push(near, far);
  expect(await bound.promise).toBe(instance);
  near.write('through');
  const [bytes] = (await once(far, 'data')) as [Buffer];
  expect(String(bytes)).toBe('through');
});

test('reports a parked leg that left, and tells the instance when its own is closed', async () => {
  const lost = Promise.withResolvers<number>();
  const relay = await start({ onParkedLost: lost.resolve });
  const park = newTicket();
  await relay.expect([{ ticket: park, role: 'park', match: 'p' }]);
  const ahead = await parkLeg({ address: address(relay), ticket: decodeTicket(park), signal: never });
  ahead.close();
  expect(await lost.promise).toBeGreaterThan(0);
  await expect(ahead.bound).rejects.toMatchObject({ code: 'PAM_LEG_FAILED' });
});

test('tells somebody who speaks HTTP what the port speaks, and closes on junk', async () => {
  const relay = await start();
  const http = dial(relay);
  http.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  expect(String(await lastWords(http))).toMatch(/^HTTP\/1\.1 400 [^]*This port speaks TLS/);
  for (const junk of [Buffer.from([0, 1, 2]), Buffer.from('SPRT\x02'), Buffer.from('SPRX')]) {
    const socket = dial(relay);
    socket.write(junk);
    const said = await lastWords(socket);
    expect(said.length === 0 || String(said).startsWith('HTTP/1.1 400')).toBe(true);
  }
});

test('closes a socket that has not said what it is in time', async () => {
  const relay = await start({}, { preambleWithinMs: 100 });
  const silent = dial(relay);
  const slow = dial(relay);
  slow.write('SPRT');
  expect((await Promise.all([lastWords(silent), lastWords(slow)])).map(({ length }) => length)).toEqual([0, 0]);
});

test('hands a TLS client over whole, its hello split anywhere and sent slowly', async () => {
  const router = await newRouterIdentity(['localhost'], Date.now());
  const tlsServer = createTlsServer({ cert: router.certificatePem, key: router.privateKeyPem });
  tlsServer.on('tlsClientError', () => undefined);
  const relay = await start({ onTls: takeTls((socket) => tlsServer.emit('connection', socket)) });
  const hello = await captureHello();
  const cuts = Array.from({ length: hello.length - 1 }, (_, i) => i + 1).filter((cut) => cut < 64 || cut % 16 === 0);
  const answers = await Promise.all(cuts.map((cut, at) => sayInTwo(relay, hello, cut, at)));
  // A hello that lost a byte is never answered: every one got its ServerHello.
  expect(answers.map((bytes) => bytes[0])).toEqual(cuts.map(() => 0x16));
});

/** Sends `hello` cut in two, the second part when the relay has long handed the socket over; returns the answer. */
async function sayInTwo(relay: Relay, hello: Buffer, cut: number, at: number): Promise<Buffer> {
  await new Promise((resolve) => setTimeout(resolve, at * 5));
  const socket = dial(relay);
  await once(socket, 'connect');
  socket.write(hello.subarray(0, cut));
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.write(hello.subarray(cut));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return answer;
}

test('a TLS client whose hello is not whole in time is handed on as it is, and loses nothing', async () => {
  const router = await newRouterIdentity(['localhost'], Date.now());
  const tlsServer = createTlsServer({ cert: router.certificatePem, key: router.privateKeyPem });
  tlsServer.on('tlsClientError', () => undefined);
  const handed = Promise.withResolvers<void>();
  const onTls = takeTls((socket) => {
    tlsServer.emit('connection', socket);
    handed.resolve();
  });
  const relay = await start({ onTls }, { preambleWithinMs: 100 });
  const hello = await captureHello();
  const socket = dial(relay);
  await once(socket, 'connect');
  socket.write(hello.subarray(0, 300));
  await handed.promise;
  socket.write(hello.subarray(300));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  // A hello that lost a byte is never answered.
  expect(answer[0]).toBe(0x16);
});

async function captureHello(): Promise<Buffer> {
  const target = Promise.withResolvers<Buffer>();
  const { port, close } = await startTarget((socket) => socket.once('data', target.resolve));
  const tls = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
  tls.on('error', () => undefined);
  const hello = await target.promise;
  tls.destroy();
  close();
  return hello;
}

test('10,000 silent sockets leave a running stream and new ones unharmed', async () => {
  const relay = await start();
  const ends = await makeEnds();
  const target = await startTarget((socket) => socket.on('data', (bytes) => socket.write(bytes)));
  const pipe = await openPipe({ relay, ends, targetPort: target.port });
  const silent: Socket[] = [];
  for (let i = 0; i < 10_000; i++) {
    const socket = connect({ port: relay.port, host: '127.0.0.1' });
    socket.on('error', () => undefined);
    silent.push(socket);
    if (i % 500 === 499) {
      pipe.user.write(`ping ${i}`);
      const [echo] = (await once(pipe.user, 'data')) as [Buffer];
      expect(String(echo)).toBe(`ping ${i}`);
      for (const old of silent.splice(0, Math.max(0, silent.length - 600))) old.destroy();
    }
  }
  const another = await openPipe({ relay, ends, targetPort: target.port });
  another.user.write('new');
  expect(String((await once(another.user, 'data'))[0])).toBe('new');
  for (const socket of silent) socket.destroy();
  for (const { user } of [pipe, another]) user.destroy();
  target.close();
});

test('a relay that died comes back on the same port, and its matches are reported lost', async () => {
  const ended = Promise.withResolvers<string>();
  const restarted = Promise.withResolvers<void>();
  const relay = await start({ onEnded: (_, { why }) => ended.resolve(why), onRestarted: restarted.resolve });
  const ends = await makeEnds();
  const target = await startTarget((socket) => socket.on('data', (bytes) => socket.write(bytes)));
  const { port, pid } = relay;
  const pipe = await openPipe({ relay, ends, targetPort: target.port });
  const broken = once(pipe.user, 'error') as Promise<[NodeJS.ErrnoException]>;
  pipe.user.write('x');
  process.kill(pid, 'SIGKILL');
  expect((await broken)[0].code).toBe('ECONNRESET');
  expect(await ended.promise).toBe('relay-lost');
  expect(await pipe.clientOutcome).toMatchObject({ reason: 'carrier-lost', error: { code: 'PAM_STREAM_LOST' } });
  const waiting = dial(relay);
  await restarted.promise;
  expect(relay.pid).not.toBe(pid);
  expect(relay.port).toBe(port);
  expect(waiting.destroyed).toBe(false);
  const again = await openPipe({ relay, ends, targetPort: target.port });
  again.user.write('again');
  expect(String((await once(again.user, 'data'))[0])).toBe('again');
  again.user.destroy();
  target.close();
});

test('refuses a taken port and a foreign address with their own codes', async () => {
  const relay = await start();
  const options = { log: () => undefined, events: { onTls: () => undefined } };
  await expect(startRelay({ ...options, host: '127.0.0.1', port: relay.port })).rejects.toMatchObject({
    code: 'PAM_PORT_IN_USE',
  });
  await expect(startRelay({ ...options, host: '192.0.2.1', port: 0 })).rejects.toMatchObject({
    code: 'PAM_CONFIG_INVALID',
  });
});

test('the documented preambles are what a leg sends', () => {
  const vectors = JSON.parse(
    readFileSync(new URL('../../../../docs/protocol-vectors.json', import.meta.url), 'utf8'),
  ) as {
    preambles: { role: 'client' | 'instance' | 'park' | 'echo'; ticket: string; hex: string }[];
  };
  for (const { role, ticket, hex } of vectors.preambles) {
    expect(Buffer.from(encodePreamble(role, Buffer.from(ticket, 'hex'))).toString('hex')).toBe(hex);
  }
});
