import {
  type GatewayUid,
  gatewayUidSchema,
  instanceIdSchema,
  type InstanceView,
  setInstanceIntent,
} from '@sallyport/protocol';
import type { Cli } from '../cli.ts';
import { isoTime } from '../terminal/show.ts';
import { plain } from '../terminal/terminal.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { resolveName } from '../vault/resolve.ts';
import { readWhole } from './gateway-flags.ts';
import { listNamedGateways } from './list-named.ts';
import { resolveInstance } from './resolve-instance.ts';

/** What is asked of an instance: take work, take no new work, or finish and leave. */
type Wanted =
  | { readonly kind: 'serve' | 'cordon' }
  | { readonly kind: 'drain'; readonly deadlineInMs: number; readonly replace: boolean };

interface IntentSet {
  readonly gateway: { readonly uid: GatewayUid; readonly title: string };
  readonly instance: InstanceView;
  readonly membership: 'slot' | 'standby';
  readonly streams: number;
  readonly deadlineAtMs: number | null;
}

/** Finds gateway and instance and tells the router what is wanted. PAM_CONFLICT when the instance drains already. */
export async function setIntent(
  cli: Cli,
  of: { readonly gateway: string; readonly instance: string },
  intent: Wanted,
): Promise<IntentSet> {
  const session = await openVaultSession(cli);
  try {
    const gateway = resolveName('gateway', of.gateway, await listNamedGateways(session));
    const instance = resolveInstance(gateway, of.instance);
    const uid = gatewayUidSchema.parse(gateway.uid);
    const id = instanceIdSchema.parse(instance.instanceId);
    const reply = await session.chain.call(setInstanceIntent, { params: { uid, instance: id }, body: { intent } }, [
      uid,
      id,
    ]);
    const { membership, streams, deadlineAtMs } = reply;
    return { gateway: { uid, title: gateway.title }, instance, membership, streams, deadlineAtMs };
  } finally {
    session.close();
  }
}

/** `--deadline` in seconds; 300 when it is not given, a week at most. PAM_USAGE. */
export function readDeadline(text: string | undefined): number {
  return 1_000 * (text === undefined ? usualDeadlineSeconds : readWhole('--deadline', text, 0, 604_800));
}
const usualDeadlineSeconds = 300;

/** One shape for cordon, uncordon and drain. */
export function intentJson(set: IntentSet, intent: Wanted['kind']): Record<string, unknown> {
  return {
    gateway_uid: set.gateway.uid,
    gateway_name: set.gateway.title,
    instance_id: set.instance.instanceId,
    device_name: set.instance.deviceName,
    intent,
    membership: set.membership,
    streams: set.streams,
    deadline: isoTime(set.deadlineAtMs),
  };
}

/** The router's words about a host must not steer the terminal. */
export function instanceName({ instance, gateway }: IntentSet): string {
  return `${plain(instance.deviceName)} (${plain(instance.instanceId)}) of “${plain(gateway.title)}”`;
}

export function streamsText(count: number): string {
  return count === 1 ? '1 stream' : `${count} streams`;
}
