/** The client's half of the data plane: a local listener; every accepted connection is a stream of its own. */
import { randomBytes } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { newUid, PamError, streamIdSchema } from '../../packages/protocol/src/index.ts';
import { checkInstanceCertificate } from '../../packages/seal/src/index.ts';
import { connectLeg, createStreamContext, decodeTicket, openClientStream } from '../../packages/stream/src/index.ts';
import type { BenchIdentities } from './identities.ts';

interface Setup {
  readonly kind: 'setup';
  readonly identities: BenchIdentities;
  readonly relayPort: number;
}
const routes = new Map<string, (ticket: string) => void>();
const never = new AbortController().signal;

process.on('disconnect', () => process.exit(0));
process.on(
  'message',
  (message: Setup | { readonly kind: 'routed'; readonly stream: string; readonly client: string }) => {
    if (message.kind === 'setup') listen(message);
    else routes.get(message.stream)?.(message.client);
  },
);

function listen({ identities, relayPort }: Setup): void {
  const context = createStreamContext(identities.session);
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (local) => {
    local.on('error', () => local.destroy());
    void carry(local, identities, relayPort, context);
  });
  server.listen(0, '127.0.0.1', () => {
    const bound = server.address();
    process.send?.({ kind: 'listening', port: typeof bound === 'object' && bound !== null ? bound.port : 0 });
  });
}

/** Bytes are kept as for a resume, so that its cost is measured; nothing is cut here. */
const reattach = async (): Promise<never> => {
  throw new PamError('PAM_STREAM_GONE', 'the bench resumes nothing');
};

async function carry(
  local: Socket,
  identities: BenchIdentities,
  relayPort: number,
  context: ReturnType<typeof createStreamContext>,
): Promise<void> {
  const stream = streamIdSchema.parse(newUid((length) => randomBytes(length)));
  const routed = Promise.withResolvers<string>();
  routes.set(stream, routed.resolve);
  process.send?.({ kind: 'route', stream });
  const ticket = decodeTicket(await routed.promise);
  routes.delete(stream);
  const leg = await connectLeg({
    address: { host: '127.0.0.1', port: relayPort },
    role: 'client',
    ticket,
    signal: never,
  });
  const opening = await openClientStream({
    leg,
    context,
    verifyInstance: async (der) => {
      const { gateway, poolPublicJwk } = identities;
      return (await checkInstanceCertificate({ der, gateway, poolPublicJwk, nowMs: Date.now() })).instance;
    },
    approveReady: () => undefined,
    stream,
    signal: never,
  });
  if (opening.kind === 'opened') await opening.stream.splice(local, never, { reattach });
  else local.resetAndDestroy();
}
