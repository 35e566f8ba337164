import type { DataFolder } from './data-folder.ts';
import type { Fleet, Member } from './fleet.ts';
import { commandOf, type Pam } from './programs.ts';
import { readyInstance, type Turns } from './turns.ts';

/** A running instance of the tour. */
export interface Instance {
  readonly number: number;
  readonly id: string;
  readonly member: Member;
}

const readyWithinMs = 60_000;
const pauseMs = 100;

/** Starts instance `number` from the one configuration all share, and waits until the router admitted it. */
export async function startInstance(fleet: Fleet, folder: DataFolder, turns: Turns, number: number): Promise<Instance> {
  const flags = ['--config-file', folder.joinConfig, '--state-dir', folder.instance(number)];
  const args = ['start', ...flags, '--log-format', 'json', '--exit-with-stdin'];
  const member = fleet.start(`instance-${number}`, ...commandOf('pam-gateway', args));
  turns.watch(member);
  const line = await member.line(/^\{.*"msg":"ready"/, readyWithinMs);
  return { number, id: readyInstance(line) ?? '', member };
}

interface GatewayList {
  readonly gateways: readonly { readonly gateway_name: string; readonly connected_instances: number }[];
}

/** Asks `pam gateway list` until the pool has so many members. */
export async function waitForMembers(pam: Pam, count: number, withinMs = 30_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const { gateways } = (await pam.json(['gateway', 'list'])) as GatewayList;
    const connected = gateways.find(({ gateway_name: name }) => name === 'demo')?.connected_instances ?? 0;
    if (connected === count) return;
    if (performance.now() > deadline) throw new Error(`the pool has ${connected} instances, not ${count}`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
