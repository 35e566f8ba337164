import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { readBalancers } from './balancers.ts';
import { divideDescriptors, readDescriptorLimit } from './descriptor-budget.ts';
import { ownUsage } from './own-usage.ts';
import type { FromRelay, RelayLimits, ToRelay } from './relay-messages.ts';
import { RelayServer } from './relay-server.ts';
import { relayClock } from './system-relay-clock.ts';

/**
 * Entry of the relay process, forked by `startRelay`. It owns the accepts of the router's one port and copies session
 * bytes, so that data cannot starve the main process's heartbeats. It ends with its parent, whatever ends that one.
 */
const sweepEveryMs = 250;
/** The system cuts it to its own bound (net.core.somaxconn), 4,096 where nobody changed it. */
const backlog = 4_096;

// A Ctrl-C goes to the whole process group; the main process decides when the relay ends.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
process.on('disconnect', () => process.exit(0));
// `disconnect` never comes while a socket handed to the main process is unacknowledged: it died before it read it.
const parent = process.ppid;
relayClock.every(sweepEveryMs, () => {
  if (process.ppid !== parent) process.exit(0);
});
process.on('message', (message: ToRelay, handle: unknown) => {
  if (message.kind === 'start') start(message.limits, message.balancers, handle);
});

function start(limits: RelayLimits, balancers: readonly string[], handle: unknown): void {
  const budget = divideDescriptors(readDescriptorLimit(), limits.undecidedSockets);
  const relay = new RelayServer({
    limits,
    budget,
    balancers: readBalancers(balancers),
    nowMs: relayClock.nowMs,
    jitter: relayClock.jitter,
    after: relayClock.after,
    usage: ownUsage,
    tell,
  });
  const server = createServer(
    { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000 },
    (socket) => relay.accept(socket),
  );
  process.on('message', (message: ToRelay) => {
    if (message.kind === 'close') process.exit(0);
    if (message.kind !== 'start') relay.handle(message);
  });
  // What came while this process did not run is read first: it is not late.
  relayClock.every(Math.min(sweepEveryMs, limits.aloneAfterMs), () => setImmediate(() => relay.sweep()));
  relayClock.every(limits.sweepMs, () => relay.report());
  server.listen(handle, backlog, () => {
    tell({ kind: 'listening', legs: budget.legs, descriptors: budget.descriptors });
  });
}

function tell(message: FromRelay, socket?: Socket, sent?: () => void): void {
  if (!process.connected || process.send === undefined) return;
  process.send(message, socket, {}, () => sent?.());
}
