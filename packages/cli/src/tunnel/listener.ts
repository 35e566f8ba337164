import { createServer, type Server, type Socket } from 'node:net';
import { PamError } from '@sallyport/protocol';
import { portHolder } from './port-holder.ts';

/** First port that is tried when none was asked for, and the last. */
const freePorts = { first: 49_152, last: 65_535 } as const;
/** Connections of one tunnel at once; more wait in the system's queue. */
const mostConnections = 2_048;

export interface Listening {
  readonly server: Server;
  readonly host: string;
  readonly port: number;
}

/**
 * Listens on the port asked for, or on the first free one from 49152. Accepted sockets are half-open and paused.
 * PAM_PORT_IN_USE naming who holds it; PAM_CONFIG_INVALID when the address is not of this machine.
 */
export async function listen(
  host: string,
  port: number,
  accept: (socket: Socket) => void,
  whose: (port: number) => Promise<string | null>,
): Promise<Listening> {
  if (port !== 0) {
    const server = await tryListen(host, port, accept);
    if (server !== null) return { server, host, port };
    const holder = (await whose(port)) ?? (await portHolder(port));
    throw new PamError('PAM_PORT_IN_USE', `port ${port} of ${host} is taken${holder === null ? '' : ` by ${holder}`}`, {
      detail: { host, port },
      remedy: 'Choose another port with -p (0: the first free one), or end what holds it.',
    });
  }
  for (let next: number = freePorts.first; next <= freePorts.last; next++) {
    const server = await tryListen(host, next, accept);
    if (server !== null) return { server, host, port: next };
  }
  throw new PamError('PAM_PORT_IN_USE', `every port from ${freePorts.first} to ${freePorts.last} of ${host} is taken`);
}

async function tryListen(host: string, port: number, accept: (socket: Socket) => void): Promise<Server | null> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, accept);
  server.maxConnections = mostConnections;
  return new Promise((resolve, reject) => {
    server.once('error', (reason: NodeJS.ErrnoException) => {
      if (reason.code === 'EADDRINUSE') resolve(null);
      else if (reason.code === 'EACCES')
        reject(
          new PamError('PAM_CONFIG_INVALID', `port ${port} of ${host} is not for this user`, {
            remedy: 'Choose a port from 1024 on.',
          }),
        );
      else
        reject(
          new PamError('PAM_CONFIG_INVALID', `cannot listen on ${host}: ${reason.code ?? reason.message}`, {
            cause: reason,
            remedy: 'Give an address of this machine with --host.',
          }),
        );
    });
    server.listen({ host, port, exclusive: true }, () => resolve(server));
  });
}
