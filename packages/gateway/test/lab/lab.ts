import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Item, LinkResult } from '@sallyport/protocol';
import { newSessionIdentity, type SessionIdentity, type SessionRequest } from '@sallyport/seal';
import { type ClientOpening, connectLeg, createStreamContext, decodeTicket, openClientStream } from '@sallyport/stream';
import { echo, startTcpTarget, type TcpTarget } from '@sallyport/testkit';
import { type InstanceOptions, type RunningInstance, startInstance, systemRuntime } from '../../src/index.ts';
import {
  configurationFacts,
  createInstallation,
  type Installation,
  newSessionId,
  newStreamId,
} from './installation.ts';
import { newTicket, type RouterLink, type ScriptedRouter, startScriptedRouter } from './scripted-router.ts';

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, string | number>>;
}

/** A scripted router, an instance joined to it, and an echoing target with its resource and configuration. */
export interface Lab {
  readonly router: ScriptedRouter;
  readonly installation: Installation;
  readonly instance: RunningInstance;
  readonly link: RouterLink;
  readonly target: TcpTarget;
  readonly resource: Item;
  readonly configuration: Item;
  readonly log: LogLine[];
  readonly stateDir: string;
  readonly session: SessionIdentity;
  /** Claims of a good request for the lab's resource. */
  claims(over?: Partial<SessionRequest>): SessionRequest;
  /** Signs (or takes) a request and dispatches it as an honest router would, unless told otherwise. */
  dispatch(over?: DispatchOver): Promise<Dispatched>;
  /** The client's side of an accepted dispatch. */
  open(dispatched: Dispatched, session?: SessionIdentity): Promise<ClientOpening>;
  close(): Promise<void>;
}
export interface DispatchOver {
  readonly claims?: SessionRequest;
  readonly request?: string;
  readonly epoch?: number;
  readonly items?: readonly Item[];
  readonly session?: SessionRequest['session'];
  readonly stream?: SessionRequest['stream'];
  readonly parked?: boolean;
  /** Told the tickets before the dispatch is sent. */
  readonly before?: (instanceTicket: string) => Promise<void>;
}
export interface Dispatched {
  readonly result: LinkResult<'stream.dispatch'>;
  readonly claims: SessionRequest;
  readonly request: string;
  readonly clientTicket: string;
  readonly instanceTicket: string;
}

export type LabOptions = Partial<InstanceOptions> & { readonly facts?: object; readonly configurationOver?: object };

export async function startLab(options: LabOptions = {}): Promise<Lab> {
  const cleanup: (() => unknown)[] = [];
  const stateDir = await mkdtemp(join(tmpdir(), 'sallyport-gateway-'));
  cleanup.push(() => rm(stateDir, { recursive: true, force: true }));
  const router = await startScriptedRouter((identity) => createInstallation(identity.pin));
  cleanup.push(() => router.close());
  const { installation } = router;
  const target = await startTcpTarget((step) => cleanup.push(step), echo);
  const log: LogLine[] = [];
  const note =
    (level: string) =>
    (message: string, fields: LogLine['fields'] = {}): void => {
      log.push({ level, message, fields });
    };
  const linked = router.nextLink();
  const instance = await startInstance({
    config: await installation.config([router.address], [router.identity.pin]),
    stateDir,
    version: '0.1.0',
    runtime: systemRuntime,
    log: { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') },
    health: 'none',
    ...options,
  });
  cleanup.push(async () => {
    instance.hurry();
    await instance.left;
  });
  const link = await linked;
  const configuration = await installation.item(
    'pamNetworkConfiguration',
    configurationFacts(installation.gateway, options.configurationOver),
  );
  const resource = await installation.item('pamMachine', {
    title: 'echo',
    host: '127.0.0.1',
    port: target.port,
    configuration: configuration.uid,
    ...options.facts,
  });
  const session = await newSessionIdentity(Date.now());
  const claims: Lab['claims'] = (over = {}) =>
    installation.claims({
      resource: resource.uid,
      revs: { [resource.uid]: 1, [configuration.uid]: 1 },
      cnf: session.thumbprint,
      session: newSessionId(),
      stream: newStreamId(),
      ...over,
    });
  return {
    router,
    installation,
    instance,
    link,
    target,
    resource,
    configuration,
    log,
    stateDir,
    session,
    claims,
    dispatch: async (over = {}) => {
      const made = over.claims ?? claims();
      const request = over.request ?? (await installation.sign(made));
      const [clientTicket, instanceTicket] = [newTicket(), newTicket()];
      router.pair(clientTicket, instanceTicket);
      await over.before?.(instanceTicket);
      const current = router.links.at(-1) ?? link;
      const result = await current.call(
        'stream.dispatch',
        {
          session: over.session ?? made.session,
          stream: over.stream ?? made.stream,
          request,
          ticket: instanceTicket,
          epoch: over.epoch ?? 1,
          parked: over.parked ?? false,
          items: [...(over.items ?? [resource, configuration])],
          head: installation.head(),
        },
        { timeoutMs: 60_000 },
      );
      return { result, claims: made, request, clientTicket, instanceTicket };
    },
    open: async (dispatched, identity = session) => {
      const leg = await clientLeg(router, dispatched);
      return openClientStream({
        leg,
        context: createStreamContext(identity),
        verifyInstance: () => instance.id,
        approveReady: () => undefined,
        stream: dispatched.claims.stream,
        signal: new AbortController().signal,
      });
    },
    close: async () => {
      for (const step of cleanup.reverse()) await step();
    },
  };
}

export function clientLeg(router: ScriptedRouter, dispatched: Dispatched): Promise<Socket> {
  return connectLeg({
    address: { host: '127.0.0.1', port: router.port },
    role: 'client',
    ticket: decodeTicket(dispatched.clientTicket),
    signal: new AbortController().signal,
  });
}

/** A connected pair of half-open sockets on the loopback: `local` is handed to `splice`, `user` is the application's. */
export async function localPair(): Promise<{ local: Socket; user: Socket }> {
  const { createServer } = await import('node:net');
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const accepted = new Promise<Socket>((done) => server.once('connection', done));
  const user = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
  const local = await accepted;
  server.close();
  return { local, user };
}

/** Sends `text` through an opened stream, half-closes, and answers what came back until the end. */
export async function roundTrip(opening: ClientOpening, text: string): Promise<string> {
  if (opening.kind !== 'opened') return `refused ${opening.class}`;
  const { local, user } = await localPair();
  const spliced = opening.stream.splice(local, new AbortController().signal);
  user.end(text);
  const chunks: Buffer[] = [];
  for await (const chunk of user) chunks.push(Buffer.from(chunk as Buffer));
  await spliced;
  return Buffer.concat(chunks).toString('utf8');
}
