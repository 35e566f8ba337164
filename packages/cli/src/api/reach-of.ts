import { type Reach, readReach } from '@sallyport/stream';
import type { Cli } from '../cli.ts';

/** How this run of `pam` reaches routers. PAM_CONFIG_INVALID naming the setting; read only when a router is needed. */
export function reachOf(cli: Pick<Cli, 'proxy' | 'env'>): Reach {
  return readReach(cli.proxy, cli.env);
}
