import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { PamError } from '@sallyport/protocol';
import type { Credential, KindIo, KindTarget, NotOpened } from '@sallyport/rotation';
// ssh2: the one well-kept SSH client for Node; used over the dialled stream, in its JavaScript form (docs/adr/0016).
import ssh2, { type Client } from 'ssh2';
import { newAttempt } from './attempt.ts';
import { plainMessage } from './plain-message.ts';

/** A slow PAM answers a wrong password after 2 to 3 s; a target that lets one wait longer than this does not answer. */
const loginWithinMs = 20_000;
/** How long a closing connection may take before it is cut. */
const closeWithinMs = 2_000;

export interface SshLogin {
  readonly username: string;
  readonly credential: Credential;
}

/** A connection that is logged in. */
export interface SshConnection {
  readonly client: Client;
  readonly address: string;
  /** Resolves when nothing of it is left. */
  close(): Promise<void>;
  /** True once the connection is lost or closed. */
  isOver(): boolean;
}

export type SshOpened = { readonly kind: 'connected'; readonly connection: SshConnection } | NotOpened;

function addressOf(socket: Duplex, host: string): string {
  return 'remoteAddress' in socket && typeof socket.remoteAddress === 'string' ? socket.remoteAddress : host;
}

/** Why this credential cannot even be tried, or null. */
function unusable({ username, credential }: SshLogin): string | null {
  if (username === '' || /[\0\r\n]/.test(username)) return 'the login is empty or has a line break';
  if (credential.kind === 'password') return null;
  const key = ssh2.utils.parseKey(credential.privateKey.reveal(), credential.passphrase?.reveal());
  // Its message may quote the key's text.
  return key instanceof Error ? 'the private key cannot be read (format or passphrase)' : null;
}

/**
 * Dials and logs in, with exactly one attempt. The host key is shown to `io.identify` before anything secret goes out.
 * Never rejects; a login that did not open says why.
 */
export async function openSsh(
  target: Pick<KindTarget, 'host' | 'port'>,
  login: SshLogin,
  io: KindIo,
  signal: AbortSignal,
): Promise<SshOpened> {
  const why = unusable(login);
  if (why !== null) return { kind: 'unknown', message: why };
  if (signal.aborted) return { kind: 'unknown', message: 'stopped before the connection' };
  let socket: Duplex;
  try {
    socket = await io.dial(target.host, target.port, signal);
  } catch (reason) {
    if (signal.aborted) return { kind: 'unknown', message: 'stopped before the connection' };
    const message = reason instanceof PamError ? reason.message : 'the connection failed';
    return { kind: 'unreachable', message: plainMessage(message) };
  }
  return handshake(socket, addressOf(socket, target.host), login, io, signal);
}

function handshake(
  socket: Duplex,
  address: string,
  login: SshLogin,
  io: KindIo,
  signal: AbortSignal,
): Promise<SshOpened> {
  const { promise, resolve } = Promise.withResolvers<SshOpened>();
  const client = new ssh2.Client();
  const attempt = newAttempt(login.username, login.credential);
  let settled = false;
  let over = false;
  let identity: PamError | null = null;

  const settle = (opened: SshOpened): void => {
    if (settled) return;
    settled = true;
    cancelLimit();
    signal.removeEventListener('abort', onAbort);
    if (opened.kind !== 'connected') socket.destroy();
    resolve(opened);
  };
  /** The login ended without `ready`: what the server said of the credential, else `why`. */
  const failed = (why: NotOpened): void => {
    if (identity !== null) return settle({ kind: 'unknown', message: plainMessage(identity.message) });
    const verdict = attempt.verdict();
    if (verdict.kind === 'sent')
      return settle({ kind: 'unknown', message: plainMessage(`no answer to the credential: ${why.message}`) });
    settle(verdict.kind === 'unsaid' ? why : verdict);
  };
  const onAbort = (): void => settle({ kind: 'unknown', message: 'stopped during the login' });
  const cancelLimit = io.schedule(loginWithinMs, () =>
    failed({ kind: 'unreachable', message: `no login within ${loginWithinMs / 1_000} s` }),
  );

  client.on('error', (error: Error & { readonly level?: string }) => {
    over = error.level !== undefined && error.level !== 'client-authentication';
    const message = plainMessage(error.message, secretsOf(login.credential));
    failed({ kind: error.level === 'client-socket' ? 'unreachable' : 'unknown', message });
  });
  client.on('banner', (text) => attempt.heard(text));
  client.on('change password', () => {
    attempt.askedForNewPassword();
    failed({ kind: 'expired', message: '' });
  });
  client.on('close', () => {
    over = true;
    failed({ kind: 'unreachable', message: 'the server closed the connection' });
  });
  // With half-open sockets ssh2 leaves the closing to us.
  socket.once('end', () => socket.destroy());
  socket.on('error', () => socket.destroy());
  client.on('ready', () => {
    if (attempt.verdict().kind === 'unsaid')
      return settle({ kind: 'unknown', message: 'the server lets anybody in without a credential' });
    settle({
      kind: 'connected',
      connection: { client, address, isOver: () => over || socket.destroyed, close: () => close(client, socket, io) },
    });
  });
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  else
    connectOver(socket, client, login.username, attempt.next, (key) => {
      try {
        io.identify({ kind: 'ssh', value: `sha256:${createHash('sha256').update(key).digest('base64url')}` });
        return true;
      } catch (reason) {
        identity = PamError.from(reason, 'PAM_INTERNAL', 'the host key could not be judged');
        return false;
      }
    });
  return promise;
}

function connectOver(
  socket: Duplex,
  client: Client,
  username: string,
  next: ReturnType<typeof newAttempt>['next'],
  hostVerifier: (key: Buffer) => boolean,
): void {
  client.connect({
    sock: socket,
    username,
    hostVerifier,
    // The limit is ours, by the injected schedule.
    readyTimeout: 0,
    keepaliveInterval: 0,
    authHandler: (methods: readonly string[] | null, isPartial: boolean | null) => next(methods, isPartial),
  });
}

async function close(client: Client, socket: Duplex, io: KindIo): Promise<void> {
  if (socket.destroyed) return;
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  socket.once('close', resolve);
  const cancel = io.schedule(closeWithinMs, () => socket.destroy());
  client.end();
  await closed;
  cancel();
}

/** Texts of a credential that must never be shown. */
export function secretsOf(credential: Credential | null): readonly string[] {
  if (credential === null) return [];
  if (credential.kind === 'password') return [credential.password.reveal()];
  return [credential.privateKey.reveal(), credential.passphrase?.reveal() ?? ''];
}
