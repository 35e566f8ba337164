/**
 * A router reduced to what the data plane needs: a relay, and tickets on demand over IPC. The real router adds dispatch.
 */
import { randomBytes } from 'node:crypto';
import { toBase64url } from '../../packages/protocol/src/index.ts';
import { startRelay } from '../../packages/router/src/relay/index.ts';

const profile = process.env['BENCH_PROFILE'];
const relay = await startRelay({
  host: '127.0.0.1',
  port: 0,
  log: () => undefined,
  events: { onTls: (waiting) => waiting.refuse() },
  execArgv:
    profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`, '--cpu-prof-name=relay.cpuprofile'],
});
process.on('disconnect', () => process.exit(0));
process.on('message', ({ stream }: { stream: string }) => {
  const [client, instance] = [toBase64url(randomBytes(32)), toBase64url(randomBytes(32))];
  void relay
    .expect([
      { ticket: client, role: 'client', match: stream },
      { ticket: instance, role: 'instance', match: stream },
    ])
    .then(() => process.send?.({ kind: 'routed', stream, client, instance }));
});
process.send?.({ kind: 'listening', port: relay.port });
