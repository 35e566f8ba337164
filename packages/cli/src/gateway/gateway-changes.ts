import { gatewayStatus, type NamedGateway, statusText } from './gateway-rows.ts';

/** One thing that is otherwise than a look before. `from` or `to` is null for what came or went. */
export interface GatewayChange {
  readonly gateway_uid: string;
  readonly gateway_name: string;
  /** Null when it is about the gateway itself. */
  readonly instance_id: string | null;
  readonly from: string | null;
  readonly to: string | null;
}

interface Word {
  readonly gateway: NamedGateway;
  readonly instance: string | null;
  readonly word: string;
}

/** What is compared: status, states and reasons. Beats and counts of streams change all the time and say nothing. */
function wordsOf(gateways: readonly NamedGateway[]): ReadonlyMap<string, Word> {
  const words = new Map<string, Word>();
  for (const gateway of gateways) {
    words.set(gateway.uid, { gateway, instance: null, word: statusText(gateway.view) });
    for (const { instanceId, state, health, reason } of gateway.view.instances) {
      const lost = health === 'ok' || health === state ? '' : `, ${health}`;
      const word = `${state}${lost}${reason === '' ? '' : `: ${reason}`}`;
      words.set(`${gateway.uid}/${instanceId}`, { gateway, instance: instanceId, word });
    }
  }
  return words;
}

/** What changed between two looks, gateways before their instances. */
export function changesBetween(
  before: readonly NamedGateway[],
  after: readonly NamedGateway[],
): readonly GatewayChange[] {
  const [old, now] = [wordsOf(before), wordsOf(after)];
  return [...new Set([...now.keys(), ...old.keys()])].flatMap((key) => {
    const [was, is] = [old.get(key), now.get(key)];
    const of = is ?? was;
    if (of === undefined || was?.word === is?.word) return [];
    const { gateway, instance } = of;
    return [
      {
        gateway_uid: gateway.uid,
        gateway_name: gateway.title,
        instance_id: instance,
        from: was?.word ?? null,
        to: is?.word ?? null,
      },
    ];
  });
}

/** `dc1: ONLINE (3/3) → DEGRADED (3/3, 1 suspect)`, `dc1 INSTANCE: gone (was ready)`. */
export function changeText(change: GatewayChange): string {
  const name = change.instance_id === null ? change.gateway_name : `${change.gateway_name} ${change.instance_id}`;
  if (change.to === null) return `${name}: gone (was ${change.from})`;
  return change.from === null ? `${name}: new, ${change.to}` : `${name}: ${change.from} → ${change.to}`;
}

/** Has it a connected member? That is what `--online` lists. */
export function isUp({ view }: NamedGateway): boolean {
  return !['offline', 'never_connected'].includes(gatewayStatus(view));
}
