import { type GatewayUid, PamError, type ResourceFacts, resourceTypes, type StreamOptions } from '@sallyport/protocol';
import { formatAddress } from '../api/address.ts';
import { findItem } from '../vault/find-item.ts';
import type { VaultSession } from '../vault/open-session.ts';
import { effectivePermission } from '../vault/permissions.ts';
import { readPort } from '../vault/record-flags.ts';
import { checkTarget } from '../vault/target-address.ts';
import type { OpenedItem } from '../vault/vault.ts';
import type { TunnelTarget } from './tunnel-session.ts';

/** A target and what to call it. */
export interface FoundTarget {
  readonly target: TunnelTarget;
  readonly recordUid: string;
  readonly recordTitle: string;
  readonly gatewayTitle: string;
  /** `10.0.0.5:22` */
  readonly endpoint: string;
}

/**
 * Finds the record and everything a request for it stands on, and refuses at once what the instance would refuse later:
 * no configuration, tunneling off, an address outside the networks, a supplied host where the record does not allow it.
 * The instance decides by itself all the same.
 */
export async function findTarget(
  session: VaultSession,
  name: string,
  supplied: { readonly host: string | undefined; readonly port: string | undefined },
): Promise<FoundTarget> {
  const { vault, log } = session;
  const record = await findItem(vault, 'record', name, resourceTypes);
  const facts: ResourceFacts = record.facts;
  if (facts.configuration === null) {
    throw new PamError('PAM_PERMISSION_OFF', `“${record.title}” has no PAM configuration, so no gateway reaches it`, {
      remedy: `Run pam record edit ${record.uid} -c CONFIG .`,
    });
  }
  const configuration = await vault.item(facts.configuration);
  if (configuration.type !== 'pamNetworkConfiguration' || configuration.app !== record.app) {
    throw new PamError(
      'PAM_SEAL_MISPLACED',
      `${facts.configuration} is no PAM configuration of the record's application`,
    );
  }
  const { facts: network } = configuration as OpenedItem<'pamNetworkConfiguration'>;
  const tunneling = effectivePermission('tunneling', facts.permissions, network.permissions);
  if (!tunneling.on) {
    const byConfiguration = tunneling.because === 'configuration';
    throw new PamError(
      'PAM_PERMISSION_OFF',
      `tunneling is off in ${byConfiguration ? `“${configuration.title}”` : `“${record.title}”`}`,
      {
        remedy: byConfiguration
          ? `Run pam config edit ${configuration.uid} --tunneling on .`
          : `Run pam record edit ${record.uid} --tunneling default .`,
      },
    );
  }
  const gateway = log.state().gateways.get(network.gateway);
  if (gateway === undefined || gateway.removed || gateway.app !== record.app) {
    throw new PamError('PAM_GATEWAY_REMOVED', `the gateway of “${configuration.title}” does not exist any more`, {
      remedy: `Run pam config edit ${configuration.uid} -g GATEWAY .`,
    });
  }
  const options = readSupplied(record, supplied);
  const [host, port] = [options?.host ?? facts.host, options?.port ?? facts.port];
  checkTarget(host, { title: configuration.title, networks: network.networks });
  return {
    target: {
      gateway: network.gateway,
      resource: record.uid,
      revs: { [record.uid]: record.factsRev, [configuration.uid]: configuration.factsRev },
      supplied: options,
    },
    recordUid: record.uid,
    recordTitle: record.title,
    gatewayTitle: await gatewayTitle(session, network.gateway),
    endpoint: formatAddress({ host, port }),
  };
}

function readSupplied(
  record: OpenedItem<(typeof resourceTypes)[number]>,
  supplied: { readonly host: string | undefined; readonly port: string | undefined },
): StreamOptions | null {
  if (supplied.host === undefined && supplied.port === undefined) return null;
  if (!record.facts.allowSupplyHost) {
    throw new PamError('PAM_TARGET_NOT_ALLOWED', `“${record.title}” does not allow another host or port than its own`, {
      remedy: `If it is meant, run pam record edit ${record.uid} --allow-supply-host on .`,
    });
  }
  return {
    ...(supplied.host === undefined ? {} : { host: supplied.host }),
    ...(supplied.port === undefined ? {} : { port: readPort('--target-port', supplied.port) }),
  };
}

async function gatewayTitle(session: VaultSession, uid: GatewayUid): Promise<string> {
  const { items } = await session.vault.items(['gateway']);
  return items.find((item) => String(item.uid) === uid)?.title ?? uid;
}
