import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** A harness process that said on which port it listens. */
export interface HarnessChild {
  readonly process: ChildProcess;
  readonly pid: number;
  readonly port: number;
}

/** Forks a harness module; `setup` is its first message. It ends with us: its IPC channel closes. */
export async function startChild(module: URL, name: string, setup?: object): Promise<HarnessChild> {
  const profile = process.env['BENCH_PROFILE'];
  const child = fork(fileURLToPath(module), [], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    execArgv:
      profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`, `--cpu-prof-name=${name}.cpuprofile`],
  });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.on('message', (message: { kind: string; port?: number }) => {
    if (message.kind === 'listening') resolve(message.port ?? 0);
  });
  child.once('exit', (code) => reject(new Error(`bench process ${name} ended with ${code}`)));
  if (setup !== undefined) child.send(setup);
  const port = await promise;
  return { process: child, pid: child.pid ?? 0, port };
}

export async function stopChild(child: HarnessChild): Promise<void> {
  if (child.process.exitCode !== null || child.process.signalCode !== null) return;
  const ended = new Promise((resolve) => child.process.once('exit', resolve));
  child.process.disconnect();
  await ended;
}
