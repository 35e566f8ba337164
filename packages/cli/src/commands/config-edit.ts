import { gatewayUidSchema, PamError, type Schedule } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { listNamedGateways } from '../gateway/list-named.ts';
import { readSchedule, scheduleFlagsSchema } from '../rotation/schedule-flags.ts';
import { showJson } from '../terminal/show.ts';
import { configurationFlagsSchema, networksOf, permissionsOf } from '../vault/configuration-flags.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { resolveName } from '../vault/resolve.ts';
import { configurationJson } from '../vault/show-configuration.ts';
import type { OpenedItem } from '../vault/vault.ts';

const flagsSchema = configurationFlagsSchema.extend({
  removeNetwork: z.array(z.string().max(256)).max(256).optional(),
  rotationCron: z.string().max(256).optional(),
  rotationTz: z.string().max(64).optional(),
});

/** The schedule that the configuration offers from now on; `none` takes it away, absent leaves it. */
function offered(flags: z.infer<typeof flagsSchema>, before: Schedule | null): Schedule | null {
  const { rotationCron: cron, rotationTz: tz } = flags;
  if (cron === undefined && tz !== undefined)
    throw new PamError('PAM_USAGE', '--rotation-tz belongs to --rotation-cron');
  if (cron === undefined) return before;
  if (cron === 'none') return null;
  const wanted = readSchedule(scheduleFlagsSchema.parse({ cron, ...(tz === undefined ? {} : { tz }) }));
  return wanted.kind === 'own' ? wanted.schedule : before;
}

/** `pam config edit CONFIG`: what is not named stays as it is. */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  if (Object.values(flags).every((value) => value === undefined)) {
    throw new PamError('PAM_USAGE', 'nothing to change: no flag was given');
  }
  const added = networksOf(flags);

  const session = await openVaultSession(cli);
  const before = resolveName(
    'PAM configuration',
    argument(args, 0),
    await session.vault.allItems(['pamNetworkConfiguration']),
  );
  const { rotationSchedule, ...old } = before.facts;
  const schedule = offered(flags, rotationSchedule ?? null);
  const gateways = await listNamedGateways(session);
  const gateway =
    flags.gateway === undefined
      ? undefined
      : resolveName(
          'gateway',
          flags.gateway,
          gateways.filter((one) => one.appUid === before.app),
        );
  for (const network of flags.removeNetwork ?? []) {
    if (!old.networks.includes(network))
      throw new PamError(
        'PAM_NOT_FOUND',
        `“${before.title}” does not list ${network}; it lists: ${old.networks.join(' ') || 'none'}`,
      );
  }
  const kept = old.networks.filter((network) => flags.removeNetwork?.includes(network) !== true);
  const title = flags.name ?? flags.title ?? old.title;
  const written = await session.vault.write(before, {
    uid: before.uid,
    app: before.app,
    type: 'pamNetworkConfiguration',
    facts: {
      ...old,
      title,
      gateway: gateway === undefined ? old.gateway : gatewayUidSchema.parse(gateway.uid),
      networks: [...kept, ...added.filter((network) => !kept.includes(network))],
      permissions: { ...old.permissions, ...permissionsOf(flags) },
      ...(flags.tag === undefined ? {} : { tags: flags.tag }),
      ...(flags.notes === undefined ? {} : { notes: flags.notes }),
      ...(schedule === null ? {} : { rotationSchedule: schedule }),
    },
  });
  const applications = await session.vault.applications();
  session.close();
  if (cli.format === 'json')
    showJson(
      cli.terminal,
      configurationJson(written as OpenedItem<'pamNetworkConfiguration'>, applications, gateways, []),
    );
  else cli.terminal.err(`PAM configuration “${title}” is changed (revision ${written.factsRev}).\n`);
  return undefined;
};
