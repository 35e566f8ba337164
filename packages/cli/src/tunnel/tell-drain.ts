import { spawn } from 'node:child_process';
import type { Cli } from '../cli.ts';
import { plain } from '../terminal/terminal.ts';
import type { DrainNews } from './drain-notes.ts';

/**
 * Says on standard error that an instance drains, and runs the command of `--on-drain`: by the shell, without input, its
 * output on standard error, with what happened in its environment. The tunnel does not wait for it.
 */
export function tellDrain(
  cli: Pick<Cli, 'clock' | 'terminal' | 'env'>,
  tunnel: { readonly id: string; readonly onDrain: string | undefined },
  news: DrainNews,
): void {
  const until = new Date(cli.clock.nowMs() + news.deadlineInMs).toISOString();
  const seconds = Math.ceil(news.deadlineInMs / 1_000);
  const connections = news.streams === 1 ? '1 connection' : `${news.streams} connections`;
  cli.terminal.err(
    `${plain(news.message)}: ${connections} of this tunnel may run there for ${seconds} s, until ${until}. New ones go elsewhere.\n`,
  );
  if (tunnel.onDrain === undefined) return;
  const failed = (why: string): void => cli.terminal.err(`--on-drain: the command ${why}\n`);
  const child = spawn(tunnel.onDrain, {
    shell: true,
    stdio: ['ignore', 2, 2],
    env: {
      ...cli.env,
      PAM_TUNNEL_ID: tunnel.id,
      PAM_DRAIN_INSTANCE: news.instance,
      PAM_DRAIN_DEADLINE: until,
      PAM_DRAIN_SECONDS: String(seconds),
      PAM_DRAIN_STREAMS: String(news.streams),
    },
  });
  child.unref();
  child.on('error', (reason) => failed(`cannot be started: ${plain(reason.message)}`));
  child.on('exit', (code) => {
    if (code !== 0 && code !== null) failed(`ended with ${code}`);
  });
}
