import { PamError } from '@sallyport/protocol';
import type { Cli } from '../cli.ts';

/** Asks before something is destroyed. PAM_USAGE when nobody can answer and `--yes` is absent; PAM_INTERRUPTED on no. */
export async function confirmRemoval(cli: Cli, what: string, yes: boolean): Promise<void> {
  if (yes) return;
  if (!cli.terminal.interactive) {
    throw new PamError('PAM_USAGE', `${what}: nobody can be asked`, { remedy: 'Give --yes if it is meant.' });
  }
  if (!(await cli.terminal.confirm(`${what}?`))) throw new PamError('PAM_INTERRUPTED', 'nothing was removed');
}
