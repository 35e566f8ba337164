import { makeBenchIdentities } from '../harness/identities.ts';
import { startChild, stopChild } from '../measure/child.ts';
import type { Tunnel } from './tunnel.ts';

/** Our stream and relay code in three small processes (client, router with its relay, instance). */
export async function startHarnessTunnel(targetPort: number): Promise<Tunnel> {
  const identities = await makeBenchIdentities();
  const router = await startChild(new URL('../harness/router.ts', import.meta.url), 'router');
  const setup = { kind: 'setup', identities, relayPort: router.port, targetPort };
  const instance = await startChild(new URL('../harness/instance.ts', import.meta.url), 'instance', setup);
  const client = await startChild(new URL('../harness/client.ts', import.meta.url), 'client', setup);
  client.process.on('message', (message: { kind: string; stream: string }) => {
    if (message.kind === 'route') router.process.send({ stream: message.stream });
  });
  router.process.on('message', (message: { kind: string; stream: string; client: string; instance: string }) => {
    if (message.kind !== 'routed') return;
    instance.process.send({ kind: 'serve', stream: message.stream, ticket: message.instance });
    client.process.send({ kind: 'routed', stream: message.stream, client: message.client });
  });
  return {
    name: 'Sallyport, stream and relay code (two hops)',
    port: client.port,
    pids: [router.pid, instance.pid, client.pid],
    noDelay: 'yes, every hop',
    async close() {
      for (const child of [client, instance, router]) await stopChild(child);
    },
  };
}
