import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrorCode, PamError, wireErrorSchema } from '@sallyport/protocol';
import { z } from 'zod';
import type { Cli } from '../cli.ts';
import { makePrivateFolder } from '../profile/file-store.ts';

const listeningSchema = z.strictObject({
  id: z.string().max(16),
  pid: z.int(),
  host: z.string().max(64),
  port: z.int(),
  line: z.string().max(2_048),
});
/** What a background tunnel says once its listener accepts. */
export type Listening = z.infer<typeof listeningSchema>;
const messageSchema = z.union([
  z.strictObject({ listening: listeningSchema }),
  z.strictObject({ error: wireErrorSchema }),
]);

/**
 * Starts the same command again as a process of its own session, without a terminal, and waits until it says that it
 * listens or why not. What it prints later goes to the log file.
 *
 * PAM_TIMEOUT after `timeoutMs`: the child is ended.
 */
export async function startInBackground(
  cli: Cli,
  folder: string,
  argv: readonly string[],
  timeoutMs: number,
): Promise<{ readonly listening: Listening; readonly log: string }> {
  await makePrivateFolder(folder);
  const log = join(folder, `start-${process.pid}.log`);
  const out = await open(log, 'a', 0o600);
  try {
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1] ?? '', ...argv], {
      detached: true,
      stdio: ['ignore', out.fd, out.fd, 'ipc'],
      // In the environment, not among the arguments: a proxy may have a password.
      env: {
        ...process.env,
        SALLYPORT_TUNNEL_LOG: log,
        ...(cli.proxy === undefined ? {} : { SALLYPORT_PROXY: cli.proxy }),
        ...(cli.carrier === undefined ? {} : { SALLYPORT_CARRIER: cli.carrier }),
      },
    });
    const listening = await new Promise<Listening>((resolve, reject) => {
      const fail = (error: PamError) => {
        cancel();
        cli.signal.removeEventListener('abort', interrupt);
        child.kill('SIGTERM');
        reject(error);
      };
      const interrupt = () => fail(new PamError('PAM_INTERRUPTED', 'interrupted'));
      const cancel = cli.clock.after(timeoutMs, () =>
        fail(new PamError('PAM_TIMEOUT', `the tunnel was not up within ${timeoutMs / 1_000} s; see ${log}`)),
      );
      cli.signal.addEventListener('abort', interrupt, { once: true });
      child.on('error', (reason) =>
        fail(PamError.from(reason, 'PAM_INTERNAL', 'the background process cannot be started')),
      );
      child.on('exit', (code) =>
        fail(new PamError('PAM_INTERNAL', `the background process ended with code ${code ?? -1}; see ${log}`)),
      );
      child.on('message', (message) => {
        const parsed = messageSchema.safeParse(message);
        if (!parsed.success) return;
        if ('error' in parsed.data) {
          const { code, message: text, remedy, detail } = parsed.data.error;
          fail(new PamError(isErrorCode(code) ? code : 'PAM_INTERNAL', text, { remedy, detail }));
          return;
        }
        cancel();
        cli.signal.removeEventListener('abort', interrupt);
        resolve(parsed.data.listening);
      });
    });
    child.removeAllListeners();
    child.disconnect();
    child.unref();
    return { listening, log };
  } finally {
    await out.close();
  }
}

/** In the child: tells the starter, then lets go of it. */
export async function tellStarter(message: z.infer<typeof messageSchema>): Promise<void> {
  if (process.send === undefined) return;
  const sent = Promise.withResolvers<void>();
  process.send(message, undefined, {}, () => sent.resolve());
  await sent.promise;
  if (process.connected) process.disconnect();
}
