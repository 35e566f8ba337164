import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { PamError } from '@sallyport/protocol';
import type { KindIo, KindTarget, NotOpened } from '@sallyport/rotation';
import { openTls } from '@sallyport/kind-support';
import { showText } from './show-text.ts';
import { resultCodes } from './ldap-answer.ts';
import { type LdapConnection, openLdapConnection } from './ldap-connection.ts';

/** Dial, TLS and login together; a dial alone may take 5 s. */
const reachWithinMs = 15_000;
const startTlsPorts = new Set([389, 3268]);
export const askWithinMs = 10_000;

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}
export type Reached =
  | { readonly kind: 'reached'; readonly connection: LdapConnection; readonly address: string }
  | NotOpened;

/** `target` is the server that the identity belongs to; another endpoint is told by its address. */
function withStartTls(endpoint: Endpoint): boolean {
  return startTlsPorts.has(endpoint.port);
}

/**
 * Reaches a directory: LDAPS, or StartTLS on the ports 389 and 3268. There is no login without TLS.
 *
 * @returns `unreachable` when nothing answered as a directory does, `unknown` when it is the wrong one.
 */
export async function reachDirectory(
  target: KindTarget,
  io: KindIo,
  signal: AbortSignal,
  replica?: Endpoint,
): Promise<Reached> {
  if (!target.useTls)
    return {
      kind: 'unknown',
      message: 'a password is never sent to a directory without TLS: switch it on in the record',
    };
  const endpoint = replica ?? target;
  const limit = new AbortController();
  const late = new PamError('PAM_TARGET_TIMEOUT', `${endpoint.host} did not finish its greeting in time`);
  const cancel = io.schedule(reachWithinMs, () => limit.abort(late));
  const onAbort = (): void => limit.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    signal.throwIfAborted();
    const dialled = await io.dial(endpoint.host, endpoint.port, limit.signal);
    const address = addressOf(dialled, endpoint);
    const stream = withStartTls(endpoint) ? await startTls(dialled, io, limit.signal) : dialled;
    const secure = await openTls(stream, endpoint.host, io, limit.signal, replica);
    return { kind: 'reached', connection: openLdapConnection(secure, io), address };
  } catch (reason) {
    return notReached(reason);
  } finally {
    cancel();
    signal.removeEventListener('abort', onAbort);
  }
}

function addressOf(stream: Duplex, endpoint: Endpoint): string {
  return stream instanceof Socket ? (stream.remoteAddress ?? endpoint.host) : endpoint.host;
}

async function startTls(dialled: Duplex, io: KindIo, signal: AbortSignal): Promise<Duplex> {
  const plain = openLdapConnection(dialled, io);
  const reply = await plain.ask({ kind: 'start-tls' }, { withinMs: askWithinMs, signal });
  if (reply.kind === 'lost') throw new PamError('PAM_TARGET_RESET', `no StartTLS: ${reply.why}`);
  const stream = reply.result.code === resultCodes.success ? plain.release() : null;
  if (stream !== null) return stream;
  plain.close();
  throw new PamError('PAM_TARGET_RESET', `the directory refuses StartTLS (${reply.result.code})`);
}

function notReached(reason: unknown): NotOpened {
  if (reason instanceof PamError && reason.code === 'PAM_TARGET_IDENTITY')
    return { kind: 'unknown', message: showText(reason.message, []) };
  const message = reason instanceof PamError ? reason.message : 'it was given up';
  return { kind: 'unreachable', message: showText(message, []) };
}
