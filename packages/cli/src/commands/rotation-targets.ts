import { listKinds } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { showJson, showTable } from '../terminal/show.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession } from '../vault/open-session.ts';

/** What somebody looks for in vain, and why: plug-ins that are not loaded, and what nobody has written. */
const elsewhere = [
  { name: 'sqlserver', why: 'a plug-in: pam-gateway start --plugin @sallyport/kind-sqlserver; not tried' },
  { name: 'mongodb', why: 'a plug-in: pam-gateway start --plugin @sallyport/kind-mongodb; not tried' },
  { name: 'windows', why: 'not written: there is no well-kept client for WinRM; see docs/rotation-targets.md' },
] as const;

const flagsSchema = z.object({ gateway: z.string() });

/** `pam rotation targets -g GATEWAY`: what its instances can rotate, how a late write is kept out, and what is untried. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  try {
    const gateway = await findItem(session.vault, 'gateway', flags.gateway, ['gateway']);
    const { instance, kinds } = await session.client.call(listKinds, { params: { uid: gateway.uid } });
    const missing = elsewhere.filter(({ name }) => !kinds.some((kind) => kind.name === name));
    if (cli.format === 'json') {
      showJson(cli.terminal, {
        gateway_uid: gateway.uid,
        instance_id: instance,
        kinds: kinds.map(({ triedAgainst, ownCaveat, ...kind }) => ({
          ...kind,
          tried_against: triedAgainst,
          own_caveat: ownCaveat,
        })),
        not_here: missing,
      });
      return undefined;
    }
    showTable(
      cli.terminal,
      ['kind', 'changes', 'fence by admin', 'fence by own', 'tried against'],
      kinds.map((kind) => [
        kind.name,
        kind.changes,
        kind.fence.admin ?? 'cannot',
        kind.fence.own ?? 'cannot',
        kind.triedAgainst ?? `NOT TRIED against a real server: ${kind.untried ?? ''}`,
      ]),
    );
    for (const { name, why } of missing) cli.terminal.out(`not here: ${name}: ${why}\n`);
    return undefined;
  } finally {
    session.close();
  }
};
