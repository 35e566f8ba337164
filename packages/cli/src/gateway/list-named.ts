import { type GatewayView, listGateways, PamError } from '@sallyport/protocol';
import type { VaultSession } from '../vault/open-session.ts';
import type { NamedGateway } from './gateway-rows.ts';

/** Every gateway with its title and that of its application opened; sorted by application, then title. */
export async function listNamedGateways(session: VaultSession): Promise<readonly NamedGateway[]> {
  const { gateways } = await session.client.call(listGateways);
  const applications = await session.vault.applications();
  const named: NamedGateway[] = [];
  for (const view of gateways) {
    const item = await session.vault.open(view.item);
    if (item.type !== 'gateway') throw new PamError('PAM_SEAL_MISPLACED', `${view.item.uid} is no gateway`);
    checkMembers(view);
    named.push({
      uid: item.uid,
      title: item.title,
      appUid: item.app,
      appTitle: applications.find((one) => one.app === item.app)?.title ?? item.app,
      view,
    });
  }
  return named.sort((a, b) => compare(a.appTitle, b.appTitle) || compare(a.title, b.title) || compare(a.uid, b.uid));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A router that shows one instance twice is not believed. */
function checkMembers(view: GatewayView): void {
  const ids = new Set(view.instances.map((instance) => instance.instanceId));
  if (ids.size !== view.instances.length) {
    throw new PamError('PAM_BAD_REQUEST', `the router lists an instance of ${view.item.uid} twice`);
  }
}
