import type { KindIo, KindTarget, ProbeOutcome } from '@sallyport/rotation';
import { accountState } from './attempt.ts';
import { collectOutput, openChannel } from './remote-program.ts';
import { openSsh, type SshConnection, type SshLogin } from './ssh-login.ts';

/** A login shell that takes longer than this says nothing more about the credential. */
const shellWithinMs = 10_000;

/**
 * One fresh login with one attempt, then logs out. Runs `true`: OpenSSH lets in who has an expired password, and says so
 * only when something is run.
 */
export async function probeSsh(
  target: Pick<KindTarget, 'host' | 'port'>,
  login: SshLogin,
  io: KindIo,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const opened = await openSsh(target, login, io, signal);
  if (opened.kind !== 'connected') return opened;
  const { connection } = opened;
  try {
    const said = await wordsOfShell(connection, io, signal);
    return accountState(said) ?? { kind: 'opens', address: connection.address };
  } finally {
    await connection.close();
  }
}

/** What is printed to somebody who runs `true`; empty when nothing can be run, which is no matter of the credential. */
async function wordsOfShell(connection: SshConnection, io: KindIo, signal: AbortSignal): Promise<string> {
  const channel = await openChannel({ connection, io }, 'true', signal);
  if (typeof channel === 'string') return '';
  const output = collectOutput(channel);
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = io.schedule(shellWithinMs, resolve);
  signal.addEventListener('abort', () => resolve(), { once: true });
  output.watch(() => {
    if (output.ended() !== null) resolve();
  });
  channel.end();
  await promise;
  cancel();
  output.watch(null);
  channel.destroy();
  return output.stderr();
}
