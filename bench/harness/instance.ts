/** The instance's half of the data plane: serves the stream it is told of over IPC. */
import { once } from 'node:events';
import { streamIdSchema, toBase64url } from '../../packages/protocol/src/index.ts';
import {
  connectLeg,
  connectLocal,
  createStreamContext,
  decodeTicket,
  resumeTimes,
  runInstanceStream,
} from '../../packages/stream/src/index.ts';
import type { BenchIdentities } from './identities.ts';

interface Setup {
  readonly kind: 'setup';
  readonly identities: BenchIdentities;
  readonly relayPort: number;
  readonly targetPort: number;
}
let setup: Setup | null = null;
let context: ReturnType<typeof createStreamContext> | null = null;
const never = new AbortController().signal;
const hash = toBase64url(new Uint8Array(32));

process.on('disconnect', () => process.exit(0));
process.on(
  'message',
  (message: Setup | { readonly kind: 'serve'; readonly stream: string; readonly ticket: string }) => {
    if (message.kind === 'setup') {
      setup = message;
      context = createStreamContext(message.identities.instance);
      process.send?.({ kind: 'listening', port: 0 });
    } else void serve(message.stream, message.ticket);
  },
);

async function serve(stream: string, ticket: string): Promise<void> {
  if (setup === null || context === null) return;
  const { identities, relayPort, targetPort } = setup;
  const address = { host: '127.0.0.1', port: relayPort };
  const leg = await connectLeg({ address, role: 'instance', ticket: decodeTicket(ticket), signal: never });
  await runInstanceStream({
    leg,
    context,
    sessionKey: identities.sessionKey,
    ready: { requestHash: hash, head: { n: 0, hash }, instance: identities.instance.id },
    stream: streamIdSchema.parse(stream),
    dial: async () => {
      const socket = connectLocal({ host: '127.0.0.1', port: targetPort });
      await once(socket, 'connect');
      return { kind: 'connected', socket };
    },
    detachedMs: resumeTimes.instanceDetachedMs,
    signal: never,
  });
}
