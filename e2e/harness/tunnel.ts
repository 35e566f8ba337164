import type { Child, ChildOptions, Later } from '@sallyport/testkit';
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
}

/** Opens a tunnel and waits until its listener accepts. */
export async function openTunnel(
  later: Later,
  record: string,
  { args = [], env = {} }: TunnelOptions,
): Promise<Tunnel> {
  const child = startProgram(later, 'pam', ['tunnel', 'start', record, '--exit-with-stdin', ...args], { env });
  const [, host = '', port = ''] = await child.waitForLine(/^(127\.0\.0\.1):(\d+) → /, { withinMs: longMs });
  return { child, host, port: Number(port), messages: child.stderr };
}
