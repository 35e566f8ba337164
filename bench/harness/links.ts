/**
 * Many simulated instances in one process: the true dial, echo leg, hello, beats and redials of `pam-gateway`, without
 * trust log, keys and streams. Each has an identity of its own and a loopback address of its own to dial from, for a
 * router bounds what one address may do before its hello.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { sayHello } from '../../packages/gateway/src/agent/hello.ts';
import { createIdentityKeeper, openTrustMemory, trustFile } from '../../packages/gateway/src/agent/index.ts';
import { createLinkRunner, type LinkRunner } from '../../packages/gateway/src/agent/link/link-runner.ts';
import { readRouterAddress } from '../../packages/gateway/src/agent/link/router-address.ts';
import { systemRuntime } from '../../packages/gateway/src/agent/system-runtime.ts';
import { readHostView } from '../../packages/gateway/src/program/host-view.ts';
import { PamError, productVersion } from '../../packages/protocol/src/index.ts';
import { decodeJoinConfig, importSigningKey } from '../../packages/seal/src/index.ts';
import { directReach, plainCarrier } from '../../packages/stream/src/index.ts';

export interface LinksSetup {
  readonly kind: 'setup';
  /** Values of GATEWAY_CONFIG; instances take them in turn. */
  readonly configs: readonly string[];
  readonly count: number;
  /** Second byte of 127.x.y.z, this process's own. */
  readonly block: number;
}
/** All start within so many milliseconds, spread evenly. */
export interface LinksGo {
  readonly kind: 'go';
  readonly withinMs: number;
}
export type LinksReport =
  | { readonly kind: 'made' }
  | {
      readonly kind: 'links';
      readonly up: number;
      /** Times that a link came up, and was lost, in all. */
      readonly joins: number;
      readonly losses: number;
      readonly lastError: string;
    };

const reportMs = 100;
const addressesPerBlock = 250;
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const runners: LinkRunner[] = [];
let [up, joins, losses, lastError] = [0, 0, 0, ''];
let block = 1;
let dials = 0;

// In life they are as many machines: here they take the time that router and relay leave them.
setPriority(constants.priority.PRIORITY_LOW);

/**
 * Dials under way at once. A machine says its first word when it is connected; this process has thousands to do, and would leave
 * the router with connections that say nothing for seconds.
 */
const dialsAtOnce = 32;
let underWay = 0;
const waiting: (() => void)[] = [];

function beginNext(): void {
  if (underWay < dialsAtOnce) waiting.shift()?.();
}

function inTurn(socket: Socket, dial: () => void): void {
  const begin = (): void => {
    if (socket.destroyed) {
      beginNext();
      return;
    }
    underWay += 1;
    let isDone = false;
    const done = (): void => {
      if (isDone) return;
      isDone = true;
      underWay -= 1;
      beginNext();
    };
    // What is said on it is written in this turn.
    socket.once('connect', () => setImmediate(done));
    socket.once('close', done);
    dial();
  };
  waiting.push(begin);
  beginNext();
}

/** Every connection to the router goes out from the next of this process's addresses, a few at a time. */
const connectPlainly = Socket.prototype.connect;
Socket.prototype.connect = function connectFrom(this: Socket, ...args: unknown[]): Socket {
  // Node hands its own functions an array of options and callback.
  const [first] = args;
  const options: unknown = Array.isArray(first) ? first[0] : first;
  if (typeof options === 'object' && options !== null && 'host' in options && options.host === '127.0.0.1') {
    dials += 1;
    Object.assign(options, { localAddress: `127.${block}.${1 + (dials % addressesPerBlock)}.1` });
    inTurn(this, () => void Reflect.apply(connectPlainly, this, args));
    return this;
  }
  return Reflect.apply(connectPlainly, this, args);
};

async function make(setup: LinksSetup): Promise<void> {
  ({ block } = setup);
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-links-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const gateways = await Promise.all(
    setup.configs.map(async (text) => {
      const config = await decodeJoinConfig(text);
      const pool = await importSigningKey(config.signKey);
      const { anchor, floor, gateway, app } = config;
      const known = { anchor, floor, gateway, app, poolKeyId: pool.id };
      return { config, pool, trust: await openTrustMemory(known, trustFile(folder, anchor)) };
    }),
  );
  const host = readHostView();
  for (let n = 0; n < setup.count; n += 1) {
    const at = gateways[n % gateways.length];
    if (at === undefined) throw new Error('bench: no gateway');
    const { config, pool, trust } = at;
    const identity = await createIdentityKeeper(pool, config.gateway, systemRuntime.nowMs);
    const hello = {
      ...{ config, identity, trust, host, version: productVersion, carrier: plainCarrier, noStandby: true },
      ...{ running: () => [], maxStreams: 100, nowMs: systemRuntime.nowMs },
    };
    runners.push(
      createLinkRunner({
        routers: config.routers.map(readRouterAddress),
        runtime: systemRuntime,
        log: silent,
        reach: directReach,
        pins: () => config.pins,
        carries: () => false,
        handlers: () => ({
          'vault.changed': async () => ({}),
          'link.intent': async () => ({}),
          'link.duplicate': async () => ({}),
          'stream.resume': () => Promise.reject(new PamError('PAM_DISPATCH_REFUSED', 'a simulated instance')),
          'stream.dispatch': () => Promise.reject(new PamError('PAM_DISPATCH_REFUSED', 'a simulated instance')),
          'stream.forget': async () => ({}),
          'stream.end': async () => ({}),
          'leg.park': async () => ({}),
          'job.offer': async () => ({ kind: 'refused', class: 'busy', why: 'none', note: null }),
          'job.cancel': async () => ({}),
          'kind.list': async () => ({ kinds: [] }),
        }),
        prove: (link, challenge, state, signal) => sayHello(hello, link, challenge, state.held, signal),
        settle: async () => undefined,
        onReady: () => {
          up += 1;
          joins += 1;
        },
        onLost: () => {
          up -= 1;
          losses += 1;
        },
        onSaying: (what) => {
          if ('error' in what) lastError = `${what.error.code}: ${what.error.message}`;
        },
        onGiveUp: (error) => {
          lastError = `gave up: ${error.code}: ${error.message}`;
        },
      }),
    );
  }
}

const tell = (report: LinksReport): void => {
  // It may have been told to end in this very moment.
  if (process.connected) process.send?.(report, () => undefined);
};
process.on('disconnect', () => process.exit(0));
process.on('message', (message: LinksSetup | LinksGo) => {
  if (message.kind === 'setup') {
    make(message).then(
      () => tell({ kind: 'made' }),
      (reason: unknown) => {
        process.stderr.write(`bench links: ${String(reason)}\n`);
        process.exit(1);
      },
    );
    return;
  }
  for (const [at, runner] of runners.entries()) {
    setTimeout(() => runner.start(), (at * message.withinMs) / runners.length);
  }
  setInterval(() => tell({ kind: 'links', up, joins, losses, lastError }), reportMs);
});
process.send?.({ kind: 'listening', port: 0 });
