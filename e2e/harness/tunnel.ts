import type { Child, ChildOptions, Later, Within } from '@sallyport/testkit';
import { startProgram } from './programs.ts';
import { longMs } from './until.ts';

/** A foreground `pam tunnel start`. */
export interface Tunnel {
  readonly child: Child;
  readonly host: string;
  readonly port: number;
  /** What has been printed about connections so far, on standard error. */
  messages(): string;
}

export interface TunnelOptions {
  readonly args?: readonly string[];
  readonly env?: ChildOptions['env'];
  /** The machine it runs on. */
  readonly within?: Within | undefined;
}

/** Opens a tunnel and waits until its listener accepts. */
export async function openTunnel(
  later: Later,
  record: string,
  { args = [], env = {}, within }: TunnelOptions,
): Promise<Tunnel> {
  const child = startProgram(later, 'pam', ['tunnel', 'start', record, '--exit-with-stdin', ...args], { env, within });
  const [, host = '', port = ''] = await child.waitForLine(/^(127\.0\.0\.1):(\d+) → /, { withinMs: longMs });
  return { child, host, port: Number(port), messages: child.stderr };
}
