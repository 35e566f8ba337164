import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { type ErrorCode, errorCatalog, PamError } from '@sallyport/protocol';
import { createCleanup, createFakeClock, settle } from '@sallyport/testkit';
import { afterEach, expect, test } from 'vitest';
import type { TunnelState } from './registry.ts';
import { runTunnel, type SignedTunnel } from './run-tunnel.ts';
import type { SessionStream, TunnelSession } from './tunnel-session.ts';

const hourMs = 3_600_000;
const cleanup = createCleanup();
afterEach(() => cleanup.run());

/** A tunnel over a router that notes what it is asked, on a real listener, with a clock that the test moves. */
async function tunnelOf(router: { answer: 'ok' | 'away'; away?: ErrorCode }) {
  const clock = createFakeClock();
  const calls: string[] = [];
  const printed: string[] = [];
  const states: TunnelState[] = [];
  let signInFile = false;
  const sessionOf = (name: string): TunnelSession => {
    const call = async (what: string): Promise<void> => {
      calls.push(`${name} ${what}`);
      if (router.answer === 'away') throw new PamError(router.away ?? 'PAM_ROUTER_UNREACHABLE', 'no connection');
    };
    const fail = async (): Promise<never> => {
      await call('open');
      throw new PamError('PAM_TARGET_REFUSED', 'refused');
    };
    const touch = async () => {
      await call('touch');
      return { kind: 'ok' as const };
    };
    const rest = { poolKeyOf: () => 'key', vouchFor: async () => undefined, end: async () => undefined };
    return { open: fail, attempt: fail, askForLeg: fail, touch, ...rest };
  };
  const signed = (name: string): SignedTunnel => ({
    session: sessionOf(name),
    signInEndsAtMs: clock.nowMs() + 12 * hourMs,
    close: async () => void calls.push(`${name} close`),
  });
  const tunnel = runTunnel(
    { clock, terminal: { err: (text: string) => void printed.push(text) } as never },
    {
      first: signed('first'),
      looks: async () => signInFile,
      renew: async () => {
        signInFile = false;
        return signed('second');
      },
      changed: (state) => states.push(state),
      jitter: () => 0.5,
    },
    { detachedMs: 60_000, onDrain: () => undefined },
  );
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, tunnel.accept);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.later(async () => {
    server.close();
    await tunnel.stop();
  });
  const { port } = server.address() as AddressInfo;
  const connectOnce = async (): Promise<void> => {
    const socket = connect(port, '127.0.0.1');
    await new Promise<void>((resolve) => {
      socket.once('error', () => resolve());
      socket.once('close', () => resolve());
      socket.resume();
    });
  };
  const signIn = () => {
    signInFile = true;
  };
  return { clock, calls, printed, states, connectOnce, signIn };
}

test('after a night’s sleep the router is asked before the first stream is opened', async () => {
  const it = await tunnelOf({ answer: 'ok' });
  it.clock.jumpWall(8 * hourMs);
  await it.connectOnce();
  expect(it.calls).toEqual(['first touch', 'first open']);
});

test('twelve hours later connections are refused without a call, and after a sign-in they are carried again', async () => {
  const it = await tunnelOf({ answer: 'ok' });
  it.clock.jumpWall(12 * hourMs + 1);
  await it.connectOnce();
  await it.connectOnce();
  expect(it.calls.filter((call) => call.includes('open'))).toEqual([]);
  expect(it.states.at(-1)?.kind).toBe('signed-out');
  it.signIn();
  await it.clock.advance(2_000);
  await settle();
  expect(it.states.at(-1)?.kind).toBe('ready');
  await it.connectOnce();
  expect(it.calls.at(-1)).toBe('second open');
  expect(it.calls).toContain('first close');
  expect(it.printed.filter((line) => line.includes('sign'))).toMatchObject([
    expect.stringContaining('signed out'),
    expect.stringContaining('PAM_NOT_SIGNED_IN'),
    expect.stringContaining('signed in again'),
  ]);
});

test('a router that is away for an hour is asked a few hundred times, and is said once', async () => {
  const router: { answer: 'ok' | 'away' } = { answer: 'away' };
  const it = await tunnelOf(router);
  for (let minute = 0; minute < 60; minute++) await it.clock.advance(60_000);
  const asked = it.calls.filter((call) => call.endsWith('touch')).length;
  expect(asked).toBeGreaterThan(100);
  expect(asked).toBeLessThan(300);
  expect(it.printed.filter((line) => line.includes('cannot be reached'))).toHaveLength(1);
  router.answer = 'ok';
  await it.clock.advance(60_000);
  expect(it.states.at(-1)?.kind).toBe('ready');
});

test('nothing that waiting cures ends a tunnel, a router that is being restarted least of all', async () => {
  const passing = (Object.keys(errorCatalog) as ErrorCode[]).filter((code) => errorCatalog[code].retry === 'backoff');
  expect(passing).toContain('PAM_ROUTER_STOPPING');
  for (const away of passing) {
    const router: { answer: 'ok' | 'away'; away: ErrorCode } = { answer: 'away', away };
    const it = await tunnelOf(router);
    await it.clock.advance(30_000);
    expect([away, it.states.at(-1)?.kind]).toEqual([away, 'router-away']);
    router.answer = 'ok';
    await it.clock.advance(60_000);
    expect([away, it.states.at(-1)?.kind]).toEqual([away, 'ready']);
  }
});

test('a captive portal of a minute does not end a tunnel, and is said once', async () => {
  const router: { answer: 'ok' | 'away'; away: ErrorCode } = { answer: 'away', away: 'PAM_ROUTER_IMPOSTOR' };
  const it = await tunnelOf(router);
  await it.clock.advance(90_000);
  expect(it.states.at(-1)?.kind).toBe('router-away');
  expect(it.printed.filter((line) => line.includes('does not hold the router’s key'))).toHaveLength(1);
  router.answer = 'ok';
  await it.clock.advance(60_000);
  expect(it.states.at(-1)?.kind).toBe('ready');
});

test('a disk that is full for a while does not end a tunnel, and is said for what it is', async () => {
  const router: { answer: 'ok' | 'away'; away: ErrorCode } = { answer: 'away', away: 'PAM_CONFIG_INVALID' };
  const it = await tunnelOf(router);
  await it.clock.advance(60_000);
  expect(it.printed.join('')).toContain('(PAM_CONFIG_INVALID)');
  router.answer = 'ok';
  await it.clock.advance(60_000);
  expect(it.states.at(-1)?.kind).toBe('ready');
});

const unused = async (): Promise<never> => {
  throw new PamError('PAM_INTERNAL', 'not in this test');
};

/** Runs until it is stopped, as a thief's would. */
function endlessStream(session: string, poolKeyId: string, stopped: (reason: string) => void): SessionStream {
  return {
    ...{ session: session as never, stream: 'Stream0000000000000000' as never, poolKeyId },
    ...{ gateway: 'Gateway000000000000000' as never, reattachBy: () => async () => expect.unreachable() },
    opened: {
      ...{ instance: 'Instance00000000000000' as never, forget: () => undefined },
      splice: async (local, signal) => {
        await once(signal, 'abort');
        stopped(String(signal.reason));
        local.destroy();
        return { bytesUp: 0, bytesDown: 0, reason: 'stopped', error: null, opened: true };
      },
    },
  };
}

test('streams of an earlier sign-in are vouched for under the new one, at once and from then on', async () => {
  const clock = createFakeClock();
  const vouched: string[][] = [];
  let signInFile = false;
  const sessionOf = (id: string): TunnelSession => ({
    ...{ attempt: unused, askForLeg: unused, poolKeyOf: () => 'key', end: async () => undefined },
    touch: async () => ({ kind: 'ok' as const }),
    vouchFor: async (sessions) => void vouched.push([id, ...sessions]),
    open: async () => endlessStream(id, 'key', () => undefined),
  });
  const signed = (id: string): SignedTunnel => ({
    ...{ session: sessionOf(id), signInEndsAtMs: clock.nowMs() + 12 * hourMs, close: async () => undefined },
  });
  const tunnel = runTunnel(
    { clock, terminal: { err: () => undefined } as never },
    {
      first: signed('one'),
      looks: async () => signInFile,
      renew: async () => signed('two'),
      changed: () => undefined,
      jitter: () => 0.5,
    },
    { detachedMs: 60_000, onDrain: () => undefined },
  );
  cleanup.later(() => tunnel.stop());
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, tunnel.accept);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.later(async () => void server.close());
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  cleanup.later(async () => void socket.destroy());
  await once(server, 'connection');
  await settle();
  clock.jumpWall(12 * hourMs + 1);
  await clock.advance(30_000);
  expect(vouched.filter(([by]) => by === 'two')).toEqual([]);
  signInFile = true;
  await clock.advance(2_000);
  await settle();
  expect(vouched.at(-1)).toEqual(['two', 'one']);
  const before = vouched.length;
  await clock.advance(30_000);
  expect(vouched.length).toBeGreaterThan(before);
});

test('a stream whose instance was believed under a key that is replaced is reset, also when the router cuts nothing', async () => {
  const clock = createFakeClock();
  const printed: string[] = [];
  let key = 'old';
  const stopped: string[] = [];
  const session: TunnelSession = {
    ...{ attempt: unused, askForLeg: unused, poolKeyOf: () => key, end: async () => undefined },
    touch: async () => ({ kind: 'ok' as const }),
    vouchFor: async () => undefined,
    open: async () => endlessStream('Session000000000000000', key, (reason) => stopped.push(reason)),
  };
  const tunnel = runTunnel(
    { clock, terminal: { err: (text: string) => void printed.push(text) } as never },
    {
      first: { session, signInEndsAtMs: clock.nowMs() + 12 * hourMs, close: async () => undefined },
      looks: async () => false,
      renew: unused,
      changed: () => undefined,
      jitter: () => 0.5,
    },
    { detachedMs: 60_000, onDrain: () => undefined },
  );
  cleanup.later(() => tunnel.stop());
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, tunnel.accept);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.later(async () => void server.close());
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const closed = once(socket, 'close');
  await once(server, 'connection');
  await settle();
  await clock.advance(30_000);
  expect(stopped).toEqual([]);
  key = 'new';
  await clock.advance(30_000);
  await closed;
  expect(stopped).toEqual(['stopped']);
  expect(printed.join('')).toMatch(/new keys; Connect again.*\(PAM_GATEWAY_REMOVED\)/);
});
