/**
 * Target of all measurements: `D` + u64 sends that many bytes and ends; `E` echoes. TCP_NODELAY is on.
 */
import { createServer, type Socket } from 'node:net';

const block = Buffer.alloc(262_144, 0x5a);

const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.once('data', (first: Buffer) => {
    if (first[0] === 0x44) send(socket, Number(first.readBigUInt64BE(1)));
    else {
      socket.write(first.subarray(1));
      socket.on('data', (bytes) => socket.write(bytes));
      socket.on('end', () => socket.end());
    }
  });
});

function send(socket: Socket, length: number): void {
  let left = length;
  const push = (): void => {
    while (left > 0) {
      const part = left >= block.length ? block : block.subarray(0, left);
      left -= part.length;
      if (!socket.write(part)) return;
    }
    socket.off('drain', push);
    socket.end();
  };
  socket.on('drain', push);
  socket.resume();
  push();
}

server.listen(0, '127.0.0.1', () => process.send?.({ kind: 'listening', port: portOf() }));
process.on('disconnect', () => process.exit(0));

function portOf(): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
