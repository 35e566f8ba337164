import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { type ErrorCode, errorCatalog, PamError } from '@sallyport/protocol';
import { createCleanup, createFakeClock } from '@sallyport/testkit';
import { afterEach, expect, test } from 'vitest';
import { failureLogLimits } from './failure-log.ts';
import { runTunnel } from './run-tunnel.ts';
import type { TunnelSession } from './tunnel-session.ts';

/**
 * Every way in which a connection through a tunnel can fail before it is open, by its cause. What is promised for each:
 * a code of its own meaning, a remedy that names something to do, an exit code, a reset for the local program (never an
 * end that looks clean), and one line for the operator however many connections there are.
 */
const causes: readonly (readonly [cause: string, code: ErrorCode, exit: number])[] = [
  ['the target refuses', 'PAM_TARGET_REFUSED', 1],
  ['there is no way to the target', 'PAM_TARGET_UNREACHABLE', 1],
  ['the target does not answer', 'PAM_TARGET_TIMEOUT', 1],
  ['the name of the target does not resolve', 'PAM_TARGET_NAME_UNKNOWN', 1],
  ['the address may not be dialled', 'PAM_TARGET_NOT_ALLOWED', 5],
  ['no instance is ready, or the pool is empty', 'PAM_POOL_NO_READY_INSTANCE', 69],
  ['the instance drains or is full', 'PAM_DISPATCH_REFUSED', 69],
  ['tunneling is switched off', 'PAM_PERMISSION_OFF', 5],
  ['the right to connect is missing', 'PAM_NOT_ALLOWED', 5],
  ['the gateway is gone or has new keys', 'PAM_GATEWAY_REMOVED', 4],
  ['the router is away', 'PAM_ROUTER_UNREACHABLE', 69],
  ['the proxy is away', 'PAM_PROXY_UNREACHABLE', 69],
  ['the proxy refuses', 'PAM_PROXY_REFUSED', 69],
  ['the router does not hold the pinned key', 'PAM_ROUTER_IMPOSTOR', 5],
  ['the trust log is another one', 'PAM_TRUST_FORKED', 5],
  ['the trust log is withheld', 'PAM_TRUST_BEHIND', 5],
  ['the far end is no instance of the pool', 'PAM_INSTANCE_UNVERIFIED', 5],
  ['the clocks differ', 'PAM_CLOCK_SKEW', 1],
  ['the sign-in is over', 'PAM_NOT_SIGNED_IN', 6],
  ['the data connection cannot be made', 'PAM_LEG_FAILED', 69],
  ['the instance is lost', 'PAM_STREAM_LOST', 69],
  ['nobody answers in time', 'PAM_TIMEOUT', 75],
  ['the store of the router is away', 'PAM_STORE_AWAY', 69],
];

const cleanup = createCleanup();
afterEach(() => cleanup.run());

/** A tunnel all of whose streams fail with `error`, on a real listener, with a clock that the test moves. */
async function failingTunnel(reason: PamError) {
  const clock = createFakeClock();
  const printed: string[] = [];
  const fail = async (): Promise<never> => {
    throw reason;
  };
  const session: TunnelSession = {
    open: fail,
    attempt: fail,
    askForLeg: fail,
    touch: async () => ({ kind: 'ok' }),
    poolKeyOf: () => 'key',
    vouchFor: async () => undefined,
    end: async () => undefined,
  };
  const tunnel = runTunnel(
    { clock, terminal: { err: (text: string) => void printed.push(text) } as never },
    {
      first: { session, signInEndsAtMs: clock.nowMs() + 43_200_000, close: async () => undefined },
      looks: async () => false,
      renew: fail,
      changed: () => undefined,
      jitter: () => 0.5,
    },
    { detachedMs: 60_000, onDrain: () => undefined },
  );
  const server: Server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, tunnel.accept);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.later(async () => {
    server.close();
    await tunnel.stop();
  });
  const { port } = server.address() as AddressInfo;
  /** What the local program sees. */
  const tryOnce = () =>
    new Promise<string>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('error', (reason: NodeJS.ErrnoException) => resolve(reason.code ?? ''));
      socket.once('end', () => resolve('a clean end'));
      socket.resume();
    });
  return { clock, printed, tryOnce };
}

test.each(causes)('when %s: code %s, a remedy, exit %i, a reset, one line', async (_cause, code, exit) => {
  const { exit: shown, meaning, remedy } = errorCatalog[code];
  expect(shown).toBe(exit);
  expect(meaning).toMatch(/^[A-Z].{10,}\.$/);
  expect(remedy).toMatch(/^[A-Z].{8,}\.$/);
  const { clock, printed, tryOnce } = await failingTunnel(new PamError(code, 'what happened'));
  for (let n = 0; n < 20; n++) expect(await tryOnce()).toBe('ECONNRESET');
  const lines = printed.filter((line) => line.includes(`(${code})`));
  expect(lines[0]).toMatch(/^connection from 127\.0\.0\.1:\d+: what happened; [A-Z].*\(PAM_/);
  expect(lines[0]).toContain(remedy);
  // Signed out is a state of the tunnel too: refusals that follow have a message of their own, once.
  expect(lines.length).toBe(code === 'PAM_NOT_SIGNED_IN' ? 2 : 1);
  await clock.advance(failureLogLimits.everyMs + 1);
  const counts = printed.filter((line) => / more within \d+ s/.test(line));
  expect(counts).toHaveLength(1);
});

test('no two causes share a code', () => {
  expect(new Set(causes.map(([, code]) => code)).size).toBe(causes.length);
});
