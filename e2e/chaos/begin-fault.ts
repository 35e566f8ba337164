import { join } from 'node:path';
import { type LabHost, loss, oneWay, silence } from '@sallyport/testkit';
import type { Installation } from '../harness/installation.ts';
import type { Instance } from '../harness/instance.ts';
import { members } from '../harness/json.ts';
import { until } from '../harness/until.ts';
import type { HoldRecord, RunRecord } from './check-run.ts';
import type { FaultKind, PlannedFault } from './schedule.ts';

/** A machine and the instance that runs there now. */
export interface Place {
  readonly host: LabHost;
  instance: Instance;
  /** How many have been started here. */
  count: number;
  /** It has a fault, or leaves. */
  isBusy: boolean;
}

export interface FaultDeps {
  readonly installation: Installation;
  readonly router: LabHost;
  readonly targetHost: LabHost;
  readonly places: readonly Place[];
  /** The usual maximum of the pool. */
  readonly size: number;
  nowMs(): number;
  /** Starts the next instance of a machine; `keyFile`: see cloned-key.ts. */
  start(host: LabHost, count: number, keyFile: string): Instance;
  /** Instances that were replaced, and clones that have ended. */
  readonly ended: Instance[];
  readonly seen: { readonly [Kind in 'holds' | 'leavings' | 'clones']: RunRecord[Kind][number][] };
}

export type EndFault = () => Promise<void> | void;

/** Long after every stream of a run: who drains is never reset. */
const drainSeconds = '120';

/** Where the key of the instance that runs on a machine is planted. */
export function keyFileOf(
  { host, count }: Pick<Place, 'host' | 'count'>,
  { folder }: Pick<Installation, 'folder'>,
): string {
  return join(folder, `key-${host.name}-${count}.json`);
}

const leaves = (instance: Instance): boolean => instance.log().some(({ msg }) => msg === 'draining');

/** Asks whether a process has ended. */
function watchExit({ child }: Instance): () => boolean {
  let hasExited = false;
  void child.exited.then(() => {
    hasExited = true;
  });
  return () => hasExited;
}

/** Runs `pam gateway …`; false when the router was away or refused. */
async function tell({ installation }: FaultDeps, args: readonly string[]): Promise<boolean> {
  return (await installation.pam(['gateway', ...args], { code: null })).code === 0;
}

/** Every id that an instance called itself by, oldest first. */
export function idsOf(instance: Instance): readonly string[] {
  return [...new Set(instance.log().flatMap((line) => (line.msg === 'ready' ? [String(line['instance'])] : [])))];
}

/** As its supervisor does. Whoever comes second finds another instance there already. */
async function replace(place: Place, deps: FaultDeps): Promise<void> {
  const { instance, host } = place;
  await instance.child.exited;
  if (place.instance !== instance) return;
  deps.ended.push(instance);
  place.count += 1;
  place.instance = deps.start(host, place.count, keyFileOf(place, deps.installation));
}

/** Waits until somebody who was told to leave is gone, notes how, and replaces him. */
async function leave(place: Place, why: FaultKind, fromMs: number | null, deps: FaultDeps): Promise<void> {
  const { instance, host } = place;
  const { code, signal } = await instance.child.exited;
  if (fromMs !== null) deps.seen.holds.push({ why, address: host.address, fromMs, toMs: deps.nowMs() });
  // Another fault of the run may have killed it on its way out.
  if (signal !== 'SIGKILL') deps.seen.leavings.push({ name: host.name, why, code });
  await replace(place, deps);
}

export function beginAtRouter({ kind }: PlannedFault, { installation }: Pick<FaultDeps, 'installation'>): EndFault {
  const { child } = installation.router;
  if (kind === 'router-freeze') {
    child.kill('SIGSTOP');
    return () => child.kill('SIGCONT');
  }
  child.kill('SIGKILL');
  return async () => void (await installation.restartRouter('SIGKILL'));
}

/**
 * Lowers the maximum by one with `--drain-surplus`; the router picks who goes. At the end the maximum is raised again and
 * whoever left is replaced. A command whose answer was lost with the router may have worked: the logs tell.
 */
export async function beginSurplus(deps: FaultDeps): Promise<EndFault> {
  const { places, size, installation } = deps;
  const lower = ['set-max-instances', '-g', 'dc1', '-m', String(size - 1), '--drain-surplus'];
  const args = ['gateway', ...lower, '--deadline', drainSeconds, '--format', 'json'];
  const { code, stdout } = await installation.pam(args, { code: null });
  const told = code === 0 ? members(JSON.parse(stdout), 'drained_instances') : [];
  const toldAtMs = deps.nowMs();
  const leaving = places.filter(({ instance }) =>
    told.some((one) => idsOf(instance).includes(String(Reflect.get(one as object, 'instance_id')))),
  );
  for (const place of leaving) place.isBusy = true;
  return async () => {
    await until('the maximum is raised again', () => tell(deps, ['smi', '-g', 'dc1', '-m', String(size)]));
    await Promise.all(leaving.map((place) => leave(place, 'surplus', toldAtMs, deps)));
    for (const place of leaving) place.isBusy = false;
  };
}

/** Somebody drains for a reason whose command was not answered: he is waited for, and replaced, when all is healed. */
export async function replaceLeavers(deps: FaultDeps): Promise<void> {
  const leavers = deps.places.filter(({ instance }) => leaves(instance));
  await Promise.all(leavers.map((place) => leave(place, 'surplus', null, deps)));
}

export async function beginAtInstance({ kind }: PlannedFault, place: Place, deps: FaultDeps): Promise<EndFault> {
  const { host, instance } = place;
  const { router, targetHost } = deps;
  const heal = (): void => host.setFaults([]);
  switch (kind) {
    case 'kill':
      instance.child.kill('SIGKILL');
      return () => replace(place, deps);
    case 'drain':
      // Before it listens for signals, one ends it as it ends any program.
      await instance.id();
      instance.child.kill('SIGTERM');
      return () => leave(place, kind, null, deps);
    case 'drain-command':
      return beginDrain(place, deps);
    case 'freeze':
      instance.child.kill('SIGSTOP');
      return () => instance.child.kill('SIGCONT');
    case 'cordon':
      return beginCordon(place, deps);
    case 'clone':
      return beginClone(place, deps);
    case 'silence':
      host.setFaults(silence(router.address));
      return heal;
    case 'silence-in':
    case 'silence-out':
      host.setFaults([oneWay(kind === 'silence-in' ? 'in' : 'out', router.address)]);
      return heal;
    case 'loss':
      host.setFaults(loss(30, router.address));
      return heal;
    case 'no-target':
      host.setFaults([{ kind: 'unreachable', direction: 'out', peer: targetHost.address }]);
      return heal;
    default:
      throw new Error(`${kind} is no fault of an instance`);
  }
}

async function beginDrain(place: Place, deps: FaultDeps): Promise<EndFault> {
  const { instance } = place;
  const isGone = watchExit(instance);
  const id = idsOf(instance).at(-1) ?? (await instance.id());
  const drain = () => tell(deps, ['drain', '-g', 'dc1', '-i', id, '--deadline', drainSeconds]);
  let toldAtMs = (await drain()) ? deps.nowMs() : null;
  return async () => {
    await until('the router takes the drain', async () => {
      if (toldAtMs !== null || isGone()) return true;
      if (await drain()) toldAtMs = deps.nowMs();
      return toldAtMs !== null;
    });
    await leave(place, 'drain-command', toldAtMs, deps);
  };
}

async function beginCordon({ host, instance }: Place, deps: FaultDeps): Promise<EndFault> {
  const id = idsOf(instance).at(-1) ?? (await instance.id());
  const isHeld = await tell(deps, ['cordon', '-g', 'dc1', '-i', id]);
  const fromMs = deps.nowMs();
  const isGone = watchExit(instance);
  return async () => {
    const hold: HoldRecord = { why: 'cordon', address: host.address, fromMs, toMs: deps.nowMs() };
    if (isHeld) deps.seen.holds.push(hold);
    // Also when nobody knows whether the cordon was taken.
    await until('the router takes the uncordon', async () => {
      // One that was picked as surplus meanwhile leaves, and nothing brings it back.
      return isGone() || leaves(instance) || (await tell(deps, ['uncordon', '-g', 'dc1', '-i', id]));
    });
  };
}

/** Another process with the key of the one that runs there, on the same machine. It leaves when it goes on as another. */
async function beginClone(place: Place, deps: FaultDeps): Promise<EndFault> {
  const { host, instance, count } = place;
  await instance.id();
  const fromMs = deps.nowMs();
  const before = idsOf(instance);
  const clone = deps.start(host, count + 1_000, keyFileOf(place, deps.installation));
  const isOver = [watchExit(clone), watchExit(instance)];
  return async () => {
    const isOneGone = (): boolean => isOver.some((hasExited) => hasExited());
    const wentOn = (one: Instance): boolean => one.log().some(({ msg }) => msg.startsWith('another live process has'));
    await until(
      'one of the two goes on under another identity',
      () => wentOn(clone) || wentOn(instance) || isOneGone(),
    );
    await until('both are in the pool again', () => [clone, instance].every(isReadyAgain) || isOneGone());
    // Where the older left the pool meanwhile there is nobody to be the same as.
    if (!isOneGone())
      deps.seen.clones.push({
        name: host.name,
        original: idsOf(instance).slice(before.length - 1),
        clone: idsOf(clone),
        fromMs,
        toMs: deps.nowMs(),
      });
    clone.child.kill('SIGTERM');
    await clone.child.exited;
    deps.ended.push(clone);
  };
}

/** The last word of an instance about its identity is that it has one. */
function isReadyAgain(instance: Instance): boolean {
  const words = instance.log().filter(({ msg }) => msg === 'ready' || msg.startsWith('another live process has'));
  return words.at(-1)?.msg === 'ready';
}
