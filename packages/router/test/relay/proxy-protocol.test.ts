import { once } from 'node:events';
import { request } from 'node:https';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { beginSetup, encodePreamble, legStatus } from '@sallyport/protocol';
import { decodeTicket } from '@sallyport/stream';
import { expect, onTestFinished, test } from 'vitest';
import { startRelay } from '../../src/relay/index.ts';
import { openStore } from '../../src/store/index.ts';
import { freshRouter } from '../support/router.ts';
import { newTicket } from './pipe.ts';

const balancer = '127.0.0.1';
const stranger = '127.0.0.2';
const header = (address: string): string => `PROXY TCP4 ${address} 10.0.0.1 1234 7443\r\n`;

function dial(port: number, from: string): Socket {
  const socket = connect({ host: '127.0.0.1', port, localAddress: from, noDelay: true });
  socket.on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  return socket;
}

async function lastWords(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (bytes: Buffer) => chunks.push(bytes));
  if (!socket.destroyed) await once(socket, 'close');
  return Buffer.concat(chunks);
}

async function startListed(limits: { undecidedSockets?: number; undecidedPerAddress?: number } = {}) {
  const log: Readonly<Record<string, string | number>>[] = [];
  const from: (string | null)[] = [];
  const relay = await startRelay({
    host: '127.0.0.1',
    port: 0,
    log: (level, _message, fields) => {
      if (level === 'warn') log.push(fields);
    },
    balancers: [balancer],
    limits,
    events: {
      onTls: ({ address, isTold, refuse }) => {
        from.push(isTold ? address : null);
        refuse();
      },
    },
  });
  onTestFinished(() => relay.close());
  return { relay, log, from };
}

test('a leg behind a balancer is a leg, its header cut anywhere', async () => {
  const { relay } = await startListed();
  const said = Buffer.from(header('203.0.113.7'), 'latin1');
  const cuts = Array.from({ length: said.length + 1 }, (_, cut) => cut);
  const answers = await Promise.all(
    cuts.map(async (cut) => {
      const ticket = newTicket();
      await relay.expect([{ ticket, role: 'echo', match: 'e' }]);
      const socket = dial(relay.port, balancer);
      const answer = lastWords(socket);
      socket.write(said.subarray(0, cut));
      await new Promise((resolve) => setImmediate(resolve));
      socket.write(Buffer.concat([said.subarray(cut), encodePreamble('echo', decodeTicket(ticket))]));
      return [...(await answer)];
    }),
  );
  expect(answers).toEqual(cuts.map(() => [legStatus.echoed]));
});

test('a balancer must say where a connection comes from, and nobody else may', async () => {
  const { relay, log, from } = await startListed();
  const silent = dial(relay.port, balancer);
  silent.write(Buffer.from([0x16, 3, 1]));
  expect(await lastWords(silent)).toHaveLength(0);
  const liar = dial(relay.port, stranger);
  liar.write(header('203.0.113.7'));
  expect(await lastWords(liar)).toHaveLength(0);
  const liarAgain = dial(relay.port, stranger);
  liarAgain.write(Buffer.concat([Buffer.from('0d0a0d0a000d0a515549540a2100', 'hex'), Buffer.from([0, 0])]));
  expect(await lastWords(liarAgain)).toHaveLength(0);
  expect(from).toEqual([]);
  await expect
    .poll(() => log, { timeout: 60_000 })
    .toEqual([
      { address: balancer, why: 'no-header', count: 1 },
      { address: stranger, why: 'not-listed', count: 1 },
    ]);
});

test('one client behind a balancer cannot crowd out the others behind it', async () => {
  const { relay } = await startListed({ undecidedSockets: 16, undecidedPerAddress: 4 });
  const quiet = dial(relay.port, balancer);
  quiet.write(header('203.0.113.1'));
  const first = dial(relay.port, balancer);
  first.write(header('203.0.113.9'));
  const crowd = [first];
  for (let i = 0; i < 40; i++) {
    const one = dial(relay.port, balancer);
    await once(one, 'connect');
    one.write(header('203.0.113.9'));
    crowd.push(one);
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (!first.destroyed) await once(first, 'close');
  const ticket = newTicket();
  await relay.expect([{ ticket, role: 'echo', match: 'e' }]);
  quiet.write(encodePreamble('echo', decodeTicket(ticket)));
  expect([...(await lastWords(quiet))]).toEqual([legStatus.echoed]);
});

/** An attempt to set the router up with a wrong secret, on a connection that begins with `said`. */
async function wrongSetup(port: number, said: string): Promise<number> {
  const raw = dial(port, balancer);
  await once(raw, 'connect');
  raw.write(said);
  const tls = connectTls({ socket: raw, rejectUnauthorized: false });
  tls.on('error', () => undefined);
  await once(tls, 'secureConnect');
  const sent = request({ createConnection: () => tls, method: 'POST', path: beginSetup.path, host: 'router' });
  sent.setHeader('content-type', 'application/json');
  sent.end(JSON.stringify({ secret: 'x'.repeat(43), name: 'anna', registrationRequest: 'x'.repeat(64) }));
  const [response] = (await once(sent, 'response')) as [{ statusCode: number; resume(): void }];
  response.resume();
  tls.destroy();
  return response.statusCode;
}

test('brakes count the client, not the balancer, and the audit log names it', async () => {
  const router = await freshRouter({ balancers: [balancer] });
  const greedy = await Promise.all(
    Array.from({ length: 60 }, async () => wrongSetup(router.port, header('203.0.113.7'))),
  );
  expect(greedy).toContain(429);
  expect(await wrongSetup(router.port, header('203.0.113.8'))).not.toBe(429);
  expect(greedy.some((status) => status !== 429)).toBe(true);
  await router.stop();
  const store = await openStore({ dataDir: router.dataDir }, { nowMs: Date.now, onFatal: () => undefined });
  const events = JSON.stringify(await store.audit.listEvents({ start: 0, after: 0, limit: 500, order: 'oldest' }));
  await store.close();
  expect(events).toContain('203.0.113.7');
  expect(events).toContain('203.0.113.8');
  expect(events).not.toContain(balancer);
});
