import { PamError, resourceTypes } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { openPreferredPorts } from '../profile/preferred-ports.ts';
import { showJson } from '../terminal/show.ts';
import { plain } from '../terminal/terminal.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession, type VaultSession } from '../vault/open-session.ts';
import { effectivePermission } from '../vault/permissions.ts';
import { readPort } from '../vault/record-flags.ts';
import type { OpenedItem } from '../vault/vault.ts';

type Resource = OpenedItem<(typeof resourceTypes)[number]>;

const flagsSchema = z.object({
  tunneling: z.enum(['on', 'off', 'default']).optional(),
  localPort: z.string().optional(),
});

/**
 * `pam tunnel edit RECORD`: the switch is sealed in the record's facts and signed by this device, so that instances obey
 * it; the preferred local port is kept in this profile. Without a flag it shows what holds.
 */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const name = argument(args, 0);
  const localPort = readLocalPort(flags.localPort);
  const session = await openVaultSession(cli);
  const before: Resource = await findItem(session.vault, 'record', name, resourceTypes);
  const record = flags.tunneling === undefined ? before : await setSwitch(session, before, flags.tunneling);
  const ports = openPreferredPorts(session.store, cli);
  if (localPort !== undefined) await ports.set(record.uid, localPort);
  const holds = await whatHolds(session, record, await ports.of(record.uid));
  session.close();
  if (cli.format === 'json') showJson(cli.terminal, holds.json);
  else cli.terminal.out(holds.text);
  if (holds.warning !== null) cli.terminal.err(`warning: ${plain(holds.warning)}\n`);
  return undefined;
};

/** `none` takes the preference back; undefined leaves it. PAM_USAGE. */
function readLocalPort(text: string | undefined): number | null | undefined {
  if (text === undefined) return undefined;
  return text === 'none' ? null : readPort('--local-port', text);
}

/** Only the switch changes: taking a permission away must not fail on an address that is refused anyway. */
async function setSwitch(
  session: VaultSession,
  before: Resource,
  tunneling: 'on' | 'off' | 'default',
): Promise<Resource> {
  if (before.facts.permissions.tunneling === tunneling) return before;
  const facts = { ...before.facts, permissions: { ...before.facts.permissions, tunneling } };
  const { uid, app, type } = before;
  const written = await session.vault.write(before, { uid, app, type, facts });
  if (written.type !== type) throw new PamError('PAM_SEAL_MISPLACED', `${uid} changed its type`);
  return written as Resource;
}

async function whatHolds(session: VaultSession, record: Resource, localPort: number | null) {
  const { configuration: uid, permissions } = record.facts;
  const configuration = uid === null ? null : await session.vault.item(uid);
  if (configuration !== null && configuration.type !== 'pamNetworkConfiguration') {
    throw new PamError('PAM_SEAL_MISPLACED', `${configuration.uid} is no PAM configuration`);
  }
  const ceiling = configuration as OpenedItem<'pamNetworkConfiguration'> | null;
  const { on, because } = effectivePermission('tunneling', permissions, ceiling?.facts.permissions ?? null);
  const words = [
    `record        ${record.title} (${record.uid}, revision ${record.factsRev})`,
    `switch        ${permissions.tunneling}`,
    `configuration ${ceiling === null ? '-' : `${ceiling.title}: ${ceiling.facts.permissions.tunneling}`}`,
    `tunneling     ${on ? 'on' : 'off'}`,
    `local port    ${localPort ?? 'any free one'}`,
  ];
  const wanted = permissions.tunneling !== 'off';
  const warning =
    on || !wanted
      ? null
      : because === 'no-configuration'
        ? `tunneling stays off: “${record.title}” has no PAM configuration (pam record edit ${record.uid} -c CONFIG)`
        : `tunneling stays off: the PAM configuration is the ceiling (pam config edit ${ceiling?.uid ?? ''} --tunneling on)`;
  return {
    text: `${words.map(plain).join('\n')}\n`,
    warning,
    json: {
      record_uid: record.uid,
      record_name: record.title,
      revision: record.factsRev,
      tunneling: permissions.tunneling,
      config_uid: ceiling?.uid ?? null,
      config_tunneling: ceiling?.facts.permissions.tunneling ?? null,
      effective: on ? 'on' : 'off',
      local_port: localPort,
    },
  };
}
