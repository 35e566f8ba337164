import { lookup } from 'node:dns/promises';
import type { Socket } from 'node:net';
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

/** Plain TCP to an IP literal, paused, as a stream wants its local socket. A name is never looked up here. */
function connectAddress(address: string, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectLocal({ host: address, port });
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

export function systemDial(schedule: DialDeps['schedule']): DialDeps {
  return { resolve: resolveName, connect: connectAddress, schedule };
}
