import { PamError } from '@sallyport/protocol';
import { z } from 'zod';
import type { Cli, Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { openProfile } from '../person/signed-in.ts';
import { isSameProcess } from '../tunnel/process-identity.ts';
import { openTunnelRegistry, type TunnelEntry } from '../tunnel/registry.ts';

const flagsSchema = z.object({ all: z.boolean().default(false) });
const endWithinMs = 6_000;
const lookEveryMs = 50;

/**
 * `pam tunnel stop [ID|--all]`: ID is a tunnel's id, its record (UID or title) or its port. A process is signalled only
 * while it is the very one that started the tunnel, so a number that was given to another is never hit.
 */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const { store } = await openProfile(cli);
  const tunnels = await openTunnelRegistry(store.folder).list();
  const [name] = args;
  if (flags.all === (name !== undefined)) throw new PamError('PAM_USAGE', 'name one tunnel, or give --all');
  const chosen = name === undefined ? tunnels : pick(tunnels, name);
  if (chosen.length === 0) cli.terminal.err('No tunnel runs.\n');
  for (const tunnel of chosen) {
    await end(cli, tunnel);
    cli.terminal.err(`Tunnel ${tunnel.id} to “${tunnel.recordTitle}” is ended.\n`);
  }
  return undefined;
};

function pick(tunnels: readonly TunnelEntry[], name: string): readonly TunnelEntry[] {
  const byId = tunnels.find((one) => one.id === name);
  if (byId !== undefined) return [byId];
  const hits = tunnels.filter((one) => one.recordUid === name || one.recordTitle === name || String(one.port) === name);
  if (hits.length === 0)
    throw new PamError('PAM_NOT_FOUND', `no tunnel “${name}” runs`, { remedy: 'See pam tunnel list.' });
  if (hits.length > 1)
    throw new PamError(
      'PAM_AMBIGUOUS',
      `${hits.length} tunnels go to “${name}”: ${hits.map((one) => one.id).join(', ')}`,
      { remedy: 'Name one by its id.' },
    );
  return hits;
}

async function end(cli: Cli, tunnel: TunnelEntry): Promise<void> {
  const since = cli.clock.monotonicMs();
  let forced = false;
  if (!(await signal(tunnel, 'SIGTERM'))) return;
  while (await isSameProcess(tunnel.pid, tunnel.processStart)) {
    if (cli.clock.monotonicMs() - since > endWithinMs && !forced) {
      forced = true;
      await signal(tunnel, 'SIGKILL');
    }
    await cli.clock.sleep(lookEveryMs, cli.signal);
  }
}

/** False when the process is gone, or is another one. */
async function signal(tunnel: TunnelEntry, name: 'SIGTERM' | 'SIGKILL'): Promise<boolean> {
  if (!(await isSameProcess(tunnel.pid, tunnel.processStart))) return false;
  try {
    process.kill(tunnel.pid, name);
    return true;
  } catch (reason) {
    if (reason instanceof Error && 'code' in reason && reason.code === 'ESRCH') return false;
    throw PamError.from(reason, 'PAM_NOT_ALLOWED', `tunnel ${tunnel.id} (PID ${tunnel.pid}) belongs to somebody else`);
  }
}
