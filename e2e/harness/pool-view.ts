import { gatewayListSchema } from './gateway-list-shape.ts';
import type { Installation } from './installation.ts';
import { until } from './until.ts';

type PoolRow = ReturnType<typeof gatewayListSchema.parse>['gateways'][number];
export type InstanceRow = PoolRow['instances'][number];

/** The first gateway as `pam gateway list` shows it now. */
export async function viewPool(installation: Installation): Promise<PoolRow> {
  const [pool] = gatewayListSchema.parse(await installation.json(['gateway', 'list'])).gateways;
  if (pool === undefined) throw new Error('there is no gateway');
  return pool;
}

/** How the router shows one instance; undefined when it does not. */
export async function viewInstance(installation: Installation, id: string): Promise<InstanceRow | undefined> {
  return (await viewPool(installation)).instances.find((one) => one.instance_id === id);
}

/** Until the router says of all of these that they are ready and well. */
export async function untilReady(installation: Installation, ids: readonly string[]): Promise<void> {
  await until('everybody is ready again', async () => {
    const { instances } = await viewPool(installation);
    return ids.every((id) => {
      const row = instances.find((one) => one.instance_id === id);
      return row?.state === 'ready' && row.health === 'ok';
    });
  });
}
