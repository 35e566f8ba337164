import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { encodePreamble, legStatus } from '@sallyport/protocol';

/**
 * Both ends of many streams, in a process of its own: reads `{client, instance}` tickets from stdin, one pair a line,
 * opens both legs, and sends `BYTES` from the instance's to the client's. Says `matched N` and `done N` as they come.
 */
const [port = 0, bytes = 0] = process.argv.slice(2).map(Number);
const chunk = Buffer.alloc(65_536, 'x');
let matched = 0;
let done = 0;

function leg(role: 'client' | 'instance', ticket: string, onMatched: (socket: Socket) => void): void {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', (error) => fail(`${role}: ${error.message}`));
  socket.once('data', (first) => {
    if (first[0] !== legStatus.matched) fail(`${role}: status ${first[0]}`);
    onMatched(socket);
    if (first.length > 1) socket.emit('data', first.subarray(1));
  });
  socket.write(encodePreamble(role, Buffer.from(ticket, 'base64url')));
}

function fail(why: string): never {
  process.stdout.write(`failed ${why}\n`);
  process.exit(1);
}

function send(socket: Socket): void {
  let left = bytes;
  const more = (): void => {
    while (left > 0) {
      const part = chunk.subarray(0, Math.min(left, chunk.length));
      left -= part.length;
      if (!socket.write(part)) return void socket.once('drain', more);
    }
  };
  more();
}

function receive(socket: Socket): void {
  let left = bytes;
  socket.on('data', (data) => {
    left -= data.length;
    if (left > 0) return;
    done += 1;
    process.stdout.write(`done ${done}\n`);
  });
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const pair = JSON.parse(line) as { client: string; instance: string };
  leg('client', pair.client, receive);
  leg('instance', pair.instance, (socket) => {
    matched += 1;
    process.stdout.write(`matched ${matched}\n`);
    send(socket);
  });
});
