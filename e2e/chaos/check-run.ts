import type { StreamEnd, StreamOrder, StreamSight } from '../traffic/pattern.ts';
import type { FaultKind } from './schedule.ts';

/** Milliseconds since the start of the run, throughout. */
export interface FaultInForce {
  readonly kind: FaultKind;
  /** Address of the instance's machine; null for the router and the pool. */
  readonly address: string | null;
  readonly fromMs: number;
  readonly toMs: number;
}

/** A traffic stream at both its ends. */
export interface StreamRecord {
  readonly order: StreamOrder;
  readonly fromMs: number;
  readonly toMs: number;
  readonly user: StreamSight & { readonly how: StreamEnd };
  /** Every connection of it that reached the target; normally one. */
  readonly target: readonly (StreamSight & { readonly how: StreamEnd; readonly from: string })[];
}

/** A program that used the pool: one `curl`, a `psql` in a transaction. */
export interface UseRecord {
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly isServed: boolean;
  readonly said: string;
  /** Address of the machine of the instance that carried it; null: not known. */
  readonly carriedBy: string | null;
}

/** The pool as `pam gateway list` showed it. */
export interface ViewRecord {
  readonly atMs: number;
  readonly maxInstances: number;
  readonly instances: readonly { readonly id: string; readonly state: string; readonly streams: number }[];
}

/** A process at the end of the run beside its like at the beginning. */
export interface ProcessRecord {
  readonly name: string;
  readonly isRunning: boolean;
  readonly descriptors: number;
  readonly descriptorsAtFirst: number;
}

/** A time in which nothing new may run on the machine of this address: the router had acknowledged a cordon or a drain. */
export interface HoldRecord {
  readonly why: FaultKind;
  readonly address: string;
  readonly fromMs: number;
  /** Before it was taken back, or when its process had ended. */
  readonly toMs: number;
}

/** An instance that was to leave, and how its process ended. */
interface LeavingRecord {
  readonly name: string;
  readonly why: FaultKind;
  readonly code: number | null;
}

/** Two processes that had one identity for a while; the ids each called itself by, oldest first. */
interface CloneRecord {
  readonly name: string;
  readonly original: readonly string[];
  readonly clone: readonly string[];
  readonly fromMs: number;
  readonly toMs: number;
}

/** Everything that was seen of a run. */
export interface RunRecord {
  readonly faults: readonly FaultInForce[];
  readonly streams: readonly StreamRecord[];
  readonly uses: readonly UseRecord[];
  readonly views: readonly ViewRecord[];
  readonly holds: readonly HoldRecord[];
  readonly leavings: readonly LeavingRecord[];
  readonly clones: readonly CloneRecord[];
  /** After all had been healed and every stream was over. */
  readonly rest: {
    /** Null: it did not come to rest; then why. */
    readonly view: ViewRecord | null;
    readonly why: string;
    /** What each running instance holds itself to be. */
    readonly instances: readonly { readonly id: string; readonly membership: 'slot' | 'standby' | 'none' }[];
    readonly processes: readonly ProcessRecord[];
    /** Processes of ours that nobody started. */
    readonly strangers: readonly string[];
  };
}

export interface Violation {
  readonly rule: 'C1' | 'C2' | 'C3' | 'C4' | 'C5' | 'C6' | 'C7' | 'C8' | 'C9';
  readonly what: string;
}

/**
 * What a fault may break: streams that run on its instance, and connections that are being opened. A running stream
 * outlives its carrier, so only the death of its instance ends it. What is planned (drain, cordon, surplus) may break
 * nothing, a clone takes nothing away from the process it was made of, and
 * a target that one instance cannot reach is reached through another; a connection that runs there waits and goes on.
 */
const mayBreak: Readonly<Record<FaultKind, { readonly running: boolean; readonly opening: boolean }>> = {
  kill: { running: true, opening: true },
  drain: { running: false, opening: false },
  'drain-command': { running: false, opening: false },
  surplus: { running: false, opening: false },
  clone: { running: false, opening: false },
  freeze: { running: false, opening: true },
  cordon: { running: false, opening: false },
  silence: { running: false, opening: true },
  'silence-in': { running: false, opening: true },
  'silence-out': { running: false, opening: true },
  loss: { running: false, opening: true },
  'no-target': { running: false, opening: false },
  'router-kill': { running: false, opening: true },
  'router-freeze': { running: false, opening: true },
};

/** A fault explains what fails until links are cut, redialled and judged well again: G, one redial, two beats. */
const aftermathMs = 20_000;
/** Parked legs come and go; a leak grows with every stream. */
const descriptorSlack = 40;

/**
 * What must hold of every run, whatever the faults:
 *
 * C1 never more members than the maximum. C2 no wrong byte at either end. C3 a FIN is seen only after the last byte; at
 * the target also from the kernel of a killed instance.
 * C4 what failed is explained by a fault of the router, or of the instance that carried it, in force then or lately.
 * C5 at rest router and instances say the same of who is in the pool, the pool is full, and no stream is left.
 * C6 at rest no process is missing or left over, and none holds more descriptors than it needs.
 * C7 nothing new runs where a cordon or a drain was acknowledged. C8 who was told to leave ends with 0.
 * C9 of two processes with one identity the newer goes on under another, and the older keeps its own.
 */
export function checkRun(run: RunRecord): readonly Violation[] {
  return [
    ...checkMaximum(run),
    ...run.streams.flatMap((stream) => checkStream(run, stream)),
    ...checkUses(run),
    ...checkRest(run),
    ...checkHolds(run),
    ...checkLeavings(run),
    ...checkClones(run),
  ];
}

const isMember = ({ state }: { readonly state: string }): boolean => state !== 'standby' && state !== 'joining';

function checkMaximum({ views, rest }: RunRecord): readonly Violation[] {
  const highest = Math.max(...views.map(({ maxInstances }) => maxInstances), rest.view?.maxInstances ?? 0);
  return [...views, ...(rest.view === null ? [] : [rest.view])].flatMap(({ atMs, maxInstances, instances }) => {
    const members = instances.filter(isMember);
    // Those over a maximum that was lowered keep their slots until they have finished: they are counted when they stay.
    const isOver = members.length > maxInstances && members.some(({ state }) => state !== 'draining');
    const surplus = members.filter(({ state }) => state === 'draining').length;
    const most = maxInstances < highest ? maxInstances + surplus : maxInstances;
    if (!isOver || members.length <= Math.min(most, highest)) return [];
    return [{ rule: 'C1', what: `${members.length} members of at most ${maxInstances} at ${seconds(atMs)}` } as const];
  });
}

function checkStream(run: RunRecord, { order, fromMs, toMs, user, target }: StreamRecord): readonly Violation[] {
  const found: Violation[] = [];
  const ends = [
    { at: 'user', sight: user, whole: order.down, by: null },
    ...target.map((sight) => ({ at: `target (by ${sight.from})`, sight, whole: order.up, by: sight.from })),
  ];
  for (const { at, sight, whole, by } of ends) {
    if (sight.wrongAt !== null)
      found.push({ rule: 'C2', what: `${order.id}: wrong byte at ${sight.wrongAt}, seen by its ${at}` });
    const isKilled = by !== null && wasKilled(run, by, fromMs, toMs);
    if (sight.finAfter !== null && sight.finAfter !== whole && !isKilled) {
      const what = `${order.id}: its ${at} saw a clean end after ${sight.finAfter} of ${whole} bytes`;
      found.push({ rule: 'C3', what });
    }
  }
  const isWhole = user.how === 'fin' && user.received === order.down && user.sent === order.up;
  if (isWhole || user.how === 'given-up') return found;
  const carriers = target.map(({ from }) => from);
  if (!isExplained(run, fromMs, toMs, carriers)) {
    const carried = carriers.length === 0 ? 'by nobody' : `by ${carriers.join(', ')}`;
    const what = `${order.id} (${seconds(fromMs)} to ${seconds(toMs)}, carried ${carried}) ended with ${user.how}`;
    found.push({ rule: 'C4', what: `${what}, and no fault explains it` });
  }
  return found;
}

/** The kernel ends the connections of a killed process with FIN, and nobody can tell the target: not even we. */
function wasKilled({ faults }: RunRecord, address: string, fromMs: number, toMs: number): boolean {
  return faults.some(
    (fault) =>
      fault.kind === 'kill' && fault.address === address && fault.fromMs <= toMs + aftermathMs && fault.toMs >= fromMs,
  );
}

/** `carriers`: addresses of the instances that carried it; none known: it was being opened, wherever. */
function isExplained({ faults }: RunRecord, fromMs: number, toMs: number, carriers: readonly string[]): boolean {
  const isByOne = faults.some((fault) => {
    if (fault.fromMs > toMs || fault.toMs + aftermathMs < fromMs) return false;
    const may = mayBreak[fault.kind];
    if (carriers.length === 0) return may.opening;
    return may.running && (fault.address === null || carriers.includes(fault.address));
  });
  return isByOne || carriers.some((carrier) => missedRestart(faults, carrier, fromMs, toMs));
}

/** Its instance was cut off or frozen while the router started, for longer than a router waits for those it never saw. */
function missedRestart(faults: readonly FaultInForce[], carrier: string, fromMs: number, toMs: number): boolean {
  return faults.some(
    ({ kind, toMs: startedAtMs }) =>
      kind === 'router-kill' &&
      startedAtMs >= fromMs - aftermathMs &&
      startedAtMs <= toMs &&
      faults.some((other) => other.address === carrier && other.fromMs <= startedAtMs && other.toMs >= startedAtMs),
  );
}

function checkUses(run: RunRecord): readonly Violation[] {
  return run.uses.flatMap(({ name, fromMs, toMs, isServed, said, carriedBy }) => {
    if (isServed || isExplained(run, fromMs, toMs, carriedBy === null ? [] : [carriedBy])) return [];
    const what = `${name} (${seconds(fromMs)} to ${seconds(toMs)}) failed, and no fault explains it: ${said}`;
    return [{ rule: 'C4', what } as const];
  });
}

function checkRest({ rest }: RunRecord): readonly Violation[] {
  const found: Violation[] = [];
  const say = (rule: Violation['rule'], what: string): void => void found.push({ rule, what });
  if (rest.view === null) say('C5', `the pool did not come to rest: ${rest.why}`);
  else {
    const { instances, maxInstances } = rest.view;
    for (const { id, membership } of rest.instances) {
      const row = instances.find((one) => one.id === id);
      const shown = row === undefined ? 'none' : isMember(row) ? 'slot' : 'standby';
      if (shown !== membership) say('C5', `${id} holds itself for ${membership}, the router for ${shown}`);
    }
    for (const { id, state, streams } of instances) {
      if (!rest.instances.some((one) => one.id === id)) say('C5', `the router shows ${id}, which does not run`);
      if (streams > 0) say('C5', `the router shows ${streams} streams on ${id}, and all are over`);
      if (state !== 'ready' && state !== 'standby') say('C5', `${id} is ${state} at rest`);
    }
    const members = instances.filter(isMember).length;
    if (members < Math.min(maxInstances, rest.instances.length)) say('C5', `${members} members at rest`);
  }
  for (const { name, isRunning, descriptors, descriptorsAtFirst } of rest.processes) {
    if (!isRunning) say('C6', `${name} does not run any more`);
    else if (descriptors > descriptorsAtFirst + descriptorSlack)
      say('C6', `${name} holds ${descriptors} descriptors, ${descriptorsAtFirst} at first`);
  }
  for (const stranger of rest.strangers) say('C6', `left over: ${stranger}`);
  return found;
}

/** Only streams that lie within the hold: where one before it or after it was placed, nobody outside can tell. */
function checkHolds({ holds, streams }: RunRecord): readonly Violation[] {
  return holds.flatMap(({ why, address, fromMs, toMs }) =>
    streams
      .filter((one) => one.fromMs > fromMs && one.toMs < toMs && one.target.some(({ from }) => from === address))
      .map(({ order }) => {
        const what = `${order.id} was carried by ${address}, which took nothing new (${why}) since ${seconds(fromMs)}`;
        return { rule: 'C7', what } as const;
      }),
  );
}

function checkLeavings({ leavings }: RunRecord): readonly Violation[] {
  return leavings
    .filter(({ code }) => code !== 0)
    .map(
      ({ name, why, code }) => ({ rule: 'C8', what: `${name} was to leave (${why}) and ended with ${code}` }) as const,
    );
}

function checkClones({ clones, faults }: RunRecord): readonly Violation[] {
  return clones.flatMap(({ name, original, clone, fromMs, toMs }) => {
    const found: Violation[] = [];
    const say = (what: string): void => void found.push({ rule: 'C9', what: `${name}: ${what}` });
    if (original.at(-1) === clone.at(-1)) say('two processes go on under one identity');
    // Whoever is at a new router first, or answers a challenge in time, is the older there.
    const isDisturbed = faults.some(
      (one) => one.address === null && one.fromMs <= toMs && one.toMs + aftermathMs >= fromMs,
    );
    if (original.length > 1 && !isDisturbed) say('the older process lost its identity to the newer');
    return found;
  });
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
