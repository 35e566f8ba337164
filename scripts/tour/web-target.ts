// The tour's target: a small web server, a program of its own. Prints one line of JSON per connection and request.
//   node scripts/tour/web-target.ts PORT      0: any; when PORT is taken: any
// Ends when its standard input does, so that it never outlives the tour.
import { createServer, type Server } from 'node:http';

const log = (line: Readonly<Record<string, unknown>>): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

function makeServer(): Server {
  let connections = 0;
  let requests = 0;
  const numbers = new WeakMap<object, number>();
  const server = createServer((request, response) => {
    requests += 1;
    const connection = numbers.get(request.socket) ?? 0;
    log({ msg: 'request', request: requests, connection, path: request.url });
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(`Hello from behind the pool: request ${requests}, connection ${connection} of ${connections}.\n`);
  });
  server.on('connection', (socket) => {
    connections += 1;
    numbers.set(socket, connections);
    log({ msg: 'accepted', connection: connections, from: `${socket.remoteAddress}:${socket.remotePort}` });
  });
  return server;
}

function listen(port: number): void {
  const server = makeServer();
  server.once('error', (error) => {
    if (port === 0) throw error;
    listen(0);
  });
  server.listen({ port, host: '127.0.0.1' }, () => {
    const address = server.address();
    log({ msg: 'listening', port: address !== null && typeof address === 'object' ? address.port : 0 });
  });
}

process.stdin.on('end', () => process.exit(0)).resume();
process.on('SIGTERM', () => process.exit(0));
listen(Number(process.argv[2] ?? 0));
