/**
 * User of traffic streams, a process of its own so that it can live on another machine of a lab. Orders come as JSON
 * lines: `{"open":{…order},"port":N}`, `{"giveUp":ID}`, `{"mark":true}`, `{"report":N}`.
 * Prints for each stream one line at its first byte and one at its end, and for `report` where all open ones stand.
 */
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import type { StreamOrder } from './pattern.ts';
import { type Pump, pump } from './pump.ts';

export type UserOrder =
  | { readonly open: StreamOrder; readonly port: number }
  | { readonly giveUp: string }
  | { readonly mark: true }
  | { readonly report: number };

const open = new Map<string, Pump>();
const say = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`);

function start(order: StreamOrder, port: number): void {
  const begunAtMs = performance.now();
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
  socket.write(`${JSON.stringify(order)}\n`);
  const stream = pump(socket, order, 'user');
  open.set(order.id, stream);
  socket.once('data', () => say({ first: { id: order.id, afterMs: performance.now() - begunAtMs } }));
  void stream.over.then((how) => {
    open.delete(order.id);
    const ms = performance.now() - begunAtMs;
    say({ ended: { ...stream.sight(), how, ms, gapMs: stream.longestGapMs() } });
  });
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const order = JSON.parse(line) as UserOrder;
    if ('open' in order) start(order.open, order.port);
    else if ('giveUp' in order) open.get(order.giveUp)?.giveUp();
    else if ('mark' in order) for (const stream of open.values()) stream.mark();
    else {
      const streams = [...open.values()].map((stream) => ({ ...stream.sight(), gapMs: stream.longestGapMs() }));
      say({ report: order.report, streams });
    }
  })
  .on('close', () => process.exit(0));
say({ ready: true });
