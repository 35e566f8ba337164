import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { legCarrier } from '@sallyport/protocol';
import { newRouterIdentity } from '@sallyport/seal';
import {
  type CarrierChoice,
  connectLeg,
  createLegCarrier,
  decodeTicket,
  directReach,
  echoLeg,
  systemTimers,
} from '@sallyport/stream';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { type Relay, startCarriers, startRelay } from '../../src/relay/index.ts';
import { listen, makeEnds, never, newTicket, openPipe, startTarget } from './pipe.ts';

const longMs = 60_000;
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(balancers: readonly string[] = []) {
  const identity = await newRouterIdentity(['localhost'], Date.now());
  const toMain: (string | null)[] = [];
  let carrierPid = 0;
  const carriers = startCarriers({
    tls: identity,
    listen: '127.0.0.1',
    port: () => relay.port,
    balancers,
    log: (_level, message, fields) => {
      if (message === 'carrier process starts') carrierPid = Number(fields['pid']);
    },
  });
  closing.push(() => carriers.close());
  const relay: Relay = await startRelay({
    host: '127.0.0.1',
    port: 0,
    balancers,
    log: () => undefined,
    events: {
      onTls: (waiting) => {
        if (waiting.isLeg) return waiting.take(carriers.take);
        toMain.push(waiting.isTold ? waiting.address : null);
        waiting.refuse();
      },
    },
  });
  closing.push(() => relay.close());
  const said: string[] = [];
  const carrier = (choice: CarrierChoice, pins = [identity.pin]) =>
    createLegCarrier({ choice, reach: directReach, pins: () => pins, onFallBack: (router) => said.push(router) });
  const echo = async (choice: CarrierChoice, port = relay.port, pins?: string[]): Promise<void> => {
    const ticket = newTicket();
    await relay.expect([{ ticket, role: 'echo', match: 'e' }]);
    const address = { host: '127.0.0.1', port };
    await echoLeg({ address, ticket: decodeTicket(ticket), carrier: carrier(choice, pins), signal: never });
  };
  return { relay, carriers, carrierPid: () => carrierPid, carrier, echo, said, toMain };
}

test('a leg inside TLS and WebSocket is a leg, with its refusals', async () => {
  const { relay, echo, carrier, toMain } = await start();
  await echo('websocket');
  const unknown = connectLeg({
    address: { host: '127.0.0.1', port: relay.port },
    role: 'client',
    ticket: decodeTicket(newTicket()),
    carrier: carrier('websocket'),
    signal: never,
  });
  await expect(unknown).rejects.toMatchObject({ code: 'PAM_LEG_FAILED', detail: { status: 'unknown' } });
  expect(toMain).toEqual([]);
});

test('the router’s key is compared before a ticket is shown', async () => {
  const { echo } = await start();
  await expect(echo('websocket', undefined, ['x'.repeat(43)])).rejects.toMatchObject({ code: 'PAM_ROUTER_IMPOSTOR' });
});

test('a stream with one leg of each kind carries bytes exactly, half-closes, and ends', async () => {
  const { relay, carrier } = await start();
  const ends = await makeEnds();
  const target = await startTarget((socket) => socket.pipe(socket));
  closing.push(target.close);
  const pipe = await openPipe({ relay, ends, targetPort: target.port, carrier: carrier('websocket') });
  const sent = Buffer.alloc(8 * 1_024 * 1_024);
  for (let at = 0; at < sent.length; at += 4) sent.writeUInt32BE(at, at);
  pipe.user.end(sent);
  const chunks: Buffer[] = [];
  for await (const chunk of pipe.user) chunks.push(Buffer.from(chunk as Buffer));
  expect(Buffer.concat(chunks).equals(sent)).toBe(true);
  expect(await pipe.clientOutcome).toMatchObject({ reason: 'client-closed', error: null });
  expect(await pipe.instanceOutcome).toMatchObject({ error: null });
});

test('a carrier that is cut is a break at both ends, never an end', async () => {
  const { relay, carrier, carrierPid } = await start();
  const ends = await makeEnds();
  const target = await startTarget((socket) => socket.pipe(socket));
  closing.push(target.close);
  const pipe = await openPipe({ relay, ends, targetPort: target.port, carrier: carrier('websocket') });
  pipe.user.write('x');
  await once(pipe.user, 'data');
  const broken = once(pipe.user, 'error') as Promise<[NodeJS.ErrnoException]>;
  process.kill(carrierPid(), 'SIGKILL');
  expect((await broken)[0].code).toBe('ECONNRESET');
  expect(await pipe.instanceOutcome).toMatchObject({ error: { code: 'PAM_STREAM_LOST' } });
  // A leg that comes before the router has heard of the death goes to nobody.
  const wish = { relay, ends, targetPort: target.port, carrier: carrier('websocket') };
  const again = await vi.waitFor(() => openPipe(wish), { timeout: longMs, interval: 100 });
  again.user.write('again');
  expect(String((await once(again.user, 'data'))[0])).toBe('again');
  again.user.destroy();
});

test('whoever does not read holds up only what is his, and little of it', async () => {
  const { relay, carrier } = await start();
  const [client, instance] = [newTicket(), newTicket()];
  await relay.expect([
    { ticket: client, role: 'client', match: 'm' },
    { ticket: instance, role: 'instance', match: 'm' },
  ]);
  const address = { host: '127.0.0.1', port: relay.port };
  const of = { address, carrier: carrier('websocket'), signal: never };
  const [near, far] = await Promise.all([
    connectLeg({ ...of, role: 'client', ticket: decodeTicket(client) }),
    connectLeg({ ...of, role: 'instance', ticket: decodeTicket(instance) }),
  ]);
  closing.push(
    () => near.destroy(),
    () => far.destroy(),
  );
  for (const leg of [near, far]) leg.on('error', () => undefined);
  let taken = 0;
  const piece = Buffer.alloc(65_536);
  let stalled = false;
  const pump = (): void => {
    while (near.write(piece)) taken += piece.length;
    taken += piece.length;
    stalled = true;
    near.once('drain', () => {
      stalled = false;
      pump();
    });
  };
  pump();
  let before = -1;
  await expect
    .poll(
      () => {
        const same = stalled && taken === before;
        before = taken;
        return same;
      },
      { timeout: longMs, interval: 500 },
    )
    .toBe(true);
  // Kernel buffers of four connections, and one read or message in each process.
  expect(taken).toBeLessThan(48 * 1_024 * 1_024);
  let heard = 0;
  far.on('data', (bytes: Buffer) => {
    heard += bytes.length;
  });
  await expect.poll(() => heard >= before, { timeout: longMs }).toBe(true);
});

/** A network that lets nothing pass that does not begin like TLS. */
async function onlyTls(port: number, isNarrow = () => true): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', (first: Buffer) => {
      if (first[0] !== 0x16 && isNarrow()) return void socket.destroy();
      const on = connect({ host: '127.0.0.1', port });
      on.on('error', () => socket.destroy());
      on.write(first);
      join(socket, on);
    });
  });
  closing.push(() => server.close());
  return listen(server);
}

function join(one: Socket, other: Socket): void {
  one.pipe(other);
  other.pipe(one);
  one.on('close', () => other.destroy());
  other.on('close', () => one.destroy());
}

test('auto takes plain legs where they pass, and says once when they do not', async () => {
  const { relay, echo, said, carrier } = await start();
  await echo('auto');
  expect(said).toEqual([]);
  const narrow = await onlyTls(relay.port);
  await expect(echo('tcp', narrow)).rejects.toMatchObject({ code: 'PAM_LEG_FAILED' });
  const auto = carrier('auto');
  for (let i = 0; i < 2; i++) {
    const ticket = newTicket();
    await relay.expect([{ ticket, role: 'echo', match: 'e' }]);
    const address = { host: '127.0.0.1', port: narrow };
    await echoLeg({ address, ticket: decodeTicket(ticket), carrier: auto, signal: never });
  }
  expect(said).toEqual([`127.0.0.1 ${narrow}`]);
});

test('auto asks again after five minutes: networks change', async () => {
  const { relay, carrier, said } = await start();
  let isNarrow = false;
  let laterMs = 0;
  const port = await onlyTls(relay.port, () => isNarrow);
  const auto = carrier('auto');
  const timers = { ...systemTimers, nowMs: () => systemTimers.nowMs() + laterMs };
  const echo = async (): Promise<void> => {
    const ticket = newTicket();
    await relay.expect([{ ticket, role: 'echo', match: 'e' }]);
    await echoLeg({
      address: { host: '127.0.0.1', port },
      ticket: decodeTicket(ticket),
      carrier: auto,
      timers,
      signal: never,
    });
  };
  await echo();
  isNarrow = true;
  await expect(echo()).rejects.toMatchObject({ code: 'PAM_LEG_FAILED' });
  expect(said).toEqual([]);
  laterMs = 300_000;
  await echo();
  expect(said).toHaveLength(1);
});

test('who leaves while auto looks for the way does not take it from those who wait', async () => {
  const { relay, carrier } = await start();
  const auto = carrier('auto');
  const address = { host: '127.0.0.1', port: await onlyTls(relay.port) };
  const gone = new AbortController();
  const first = auto.dial({ address, withinMs: longMs, signal: gone.signal });
  const second = auto.dial({ address, withinMs: longMs, signal: never });
  gone.abort();
  await expect(first).rejects.toMatchObject({ code: 'PAM_INTERRUPTED' });
  (await second).destroy();
});

test('a leg inside TLS comes through a balancer, whose header is before all', async () => {
  const { relay, carrier } = await start(['127.0.0.1']);
  const balancer = createServer((socket) => {
    const on = connect({ host: '127.0.0.1', port: relay.port });
    on.write('PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\n');
    join(socket, on);
    for (const one of [socket, on]) one.on('error', () => one.destroy());
  });
  onTestFinished(() => void balancer.close());
  const ticket = newTicket();
  await relay.expect([{ ticket, role: 'echo', match: 'e' }]);
  const address = { host: '127.0.0.1', port: await listen(balancer) };
  await echoLeg({ address, ticket: decodeTicket(ticket), carrier: carrier('websocket'), signal: never });
});

test('600 connections that say nothing inside TLS keep no leg out', async () => {
  const { relay, echo } = await start();
  await echo('websocket');
  const silent: TLSSocket[] = [];
  closing.push(() => {
    for (const one of silent) one.destroy();
  });
  for (let i = 0; i < 600; i++) {
    const tls = connectTls({
      host: '127.0.0.1',
      port: relay.port,
      rejectUnauthorized: false,
      ALPNProtocols: [legCarrier.protocol],
    });
    tls.on('error', () => undefined);
    silent.push(tls);
    if (i % 40 === 39) await once(tls, 'secureConnect');
  }
  await echo('websocket');
  await expect.poll(() => silent.filter((one) => one.destroyed).length, { timeout: longMs }).toBeGreaterThan(80);
});

test('a carrier process that hangs holds so many connections and no more, and serves again when it goes on', async () => {
  const { carriers, carrierPid, echo } = await start();
  await echo('websocket');
  process.kill(carrierPid(), 'SIGSTOP');
  const server = createServer({ pauseOnConnect: true }, (socket) => carriers.take(socket, new Uint8Array(0)));
  const port = await listen(server);
  const waiting = Array.from({ length: 640 }, () => connect(port, '127.0.0.1').on('error', () => undefined));
  closing.push(() => {
    for (const one of waiting) one.destroy();
    server.close();
  });
  for (const one of waiting) one.resume();
  await expect.poll(() => waiting.filter((one) => one.destroyed).length, { timeout: longMs }).toBe(640 - 512);
  process.kill(carrierPid(), 'SIGCONT');
  // Refused for as long as it has not taken what waits.
  await vi.waitFor(() => echo('websocket'), { timeout: longMs, interval: 100 });
});

test('only legs come through: TLS inside a leg is not taken for a client on the router’s own host', async () => {
  const { relay, carrier, toMain, echo } = await start();
  const address = { host: '127.0.0.1', port: relay.port };
  const leg = await carrier('websocket').dial({ address, withinMs: longMs, signal: never });
  const broken = once(leg, 'error');
  leg.resume();
  leg.on('end', () => leg.destroy(new Error('it ended')));
  // A ClientHello that names no protocol: for the API, from wherever it comes.
  leg.write(Buffer.from('16030100050100000100', 'hex'));
  await broken;
  await echo('websocket');
  expect(toMain).toEqual([]);
});
