import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const lowest = 15_000;
/** The kernel gives out 32,768 and above by itself; a port below it is not taken between finding and using it. */
const highest = 32_000;
const tries = 200;

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** A port on which nothing listens now. Only for programs that cannot be told port 0; everything else uses that. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let attempt = 0; attempt < tries; attempt += 1) {
    const port = randomInt(lowest, highest);
    if (await isFree(port, host)) return port;
  }
  throw new Error(`no free port on ${host} in ${tries} tries`);
}
