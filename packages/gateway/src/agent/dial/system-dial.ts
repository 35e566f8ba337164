import { lookup } from 'node:dns/promises';
import { connect, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { connectLocal } from '@sallyport/stream';
import type { DialDeps } from './dial-target.ts';

/** Addresses of this host's interfaces, read anew for each dial: they change. */
export function localAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((entries) => (entries ?? []).map((entry) => entry.address));
}

/** System resolver (hosts file and name servers), all answers in the order it gives them. */
export async function resolveName(name: string): Promise<readonly string[]> {
  const answers = await lookup(name, { all: true, verbatim: true });
  return answers.map((answer) => answer.address);
}

/** TCP to an IP literal. A name is never looked up here. */
function connected(socket: Socket, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      socket.destroy();
      reject(signal.reason);
    };
    const settled = (): void => signal.removeEventListener('abort', onAbort);
    socket.once('error', (error) => {
      settled();
      reject(error);
    });
    socket.once('connect', () => {
      settled();
      resolve(socket);
    });
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** For streams: the socket comes paused, and reads into the one buffer of all streams. */
export function systemDial(schedule: DialDeps['schedule']): DialDeps {
  return {
    resolve: resolveName,
    connect: (host, port, signal) => connected(connectLocal({ host, port }), signal),
    schedule,
  };
}

/** For libraries that speak a protocol: a socket like any other. */
export function systemPlainDial(schedule: DialDeps['schedule']): DialDeps {
  return {
    resolve: resolveName,
    connect: (host, port, signal) => connected(connect({ host, port, noDelay: true }), signal),
    schedule,
  };
}
