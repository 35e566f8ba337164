import { lookup } from 'node:dns/promises';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
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

/** Plain TCP to an IP literal, half-open allowed, no delay. A name is never looked up here. */
function connectAddress(address: string, port: number, signal: AbortSignal): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: address, port, allowHalfOpen: true, noDelay: true, autoSelectFamily: false });
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
