/**
 * Target of traffic streams, a process of its own so that it can live on another machine of a lab. Prints a JSON line
 * when it listens, and for each connection one when it is accepted and one when it ended. Answers `GET` too.
 *
 *     node e2e/traffic/target.ts ADDRESS
 */
import { createServer, type Socket } from 'node:net';
import { maxOrderBytes, type StreamOrder } from './pattern.ts';
import { pump } from './pump.ts';

const [address = '127.0.0.1'] = process.argv.slice(2);
const say = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`);

const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  const from = socket.remoteAddress ?? '';
  say({ accepted: from });
  socket.on('error', () => socket.destroy());
  let head = Buffer.alloc(0);
  const read = (bytes: Buffer): void => {
    head = Buffer.concat([head, bytes]);
    const end = head.indexOf(0x0a);
    if (end < 0 && head.byteLength <= maxOrderBytes) return;
    socket.off('data', read);
    const first = head.subarray(0, end).toString();
    if (first.startsWith('GET ')) answer(socket);
    else serve(socket, JSON.parse(first) as StreamOrder, head.subarray(end + 1), from);
  };
  socket.on('data', read);
});

function answer(socket: Socket): void {
  socket.resume().end('HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n');
}

function serve(socket: Socket, order: StreamOrder, rest: Buffer, from: string): void {
  const stream = pump(socket, order, 'target');
  if (rest.byteLength > 0) stream.take(rest);
  void stream.over.then((how) => say({ ended: { ...stream.sight(), how, from } }));
}

server.listen(0, address, () => {
  const bound = server.address();
  say({ listening: typeof bound === 'object' && bound !== null ? bound.port : 0 });
});
process.stdin.resume().on('end', () => process.exit(0));
