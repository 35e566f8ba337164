import type { InstanceId, ItemUid, JobId } from '@sallyport/protocol';
import {
  type AccountRow,
  type AccountRows,
  type Fence,
  type JobRow,
  type RunSettings,
  type RunState,
  type SendRow,
} from '../../src/index.ts';

/** Everything there is: the store, the target, two holders, what is under way between them, and what may still go wrong. */
export interface World {
  readonly rows: AccountRows;
  /** Revision of the record's secrets. */
  readonly rev: number;
  readonly isEdited: boolean;
  readonly runs: number;
  readonly promotions: number;
  readonly target: Target;
  readonly flight: readonly Flight[];
  readonly holders: readonly Holder[];
  readonly left: Left;
  /** An effect came too late for anybody to know: fence `none`, after its limits; `additive`, of a candidate that was given up. */
  readonly isLate: boolean;
}

export interface Target {
  /** Versions that open the account; one, unless the fence is `additive`. */
  readonly opens: readonly number[];
  readonly mark: number;
  /** Number of the last write that took effect. */
  readonly took: number;
}

/** A write on its way, or waiting inside the target. */
export interface Flight {
  readonly by: number;
  readonly send: number;
  readonly version: number;
  readonly old: number;
  /** Its connection is the one its holder has now. */
  readonly isOnCurrent: boolean;
  /** Somebody waited A + Q since its permit. */
  readonly isOverdue: boolean;
}

export interface Holder {
  readonly run: RunState | null;
  readonly epoch: number;
  readonly connection: 'none' | 'open' | 'gone';
  readonly mark: number;
  /** Its write went out, and the answer is awaited. */
  readonly isWriting: boolean;
  /** Somebody waited A + Q since its permit, and it has not written yet: it sleeps. */
  readonly isOverdue: boolean;
  /** What the store answered to the effect, and did not arrive. */
  readonly lost: string | null;
}

/** Bounds: how often each may still happen. */
export interface Left {
  readonly crashes: readonly number[];
  readonly runs: number;
  readonly claims: number;
  readonly sends: number;
  readonly timeouts: number;
  readonly policies: number;
  readonly answers: number;
  readonly probes: number;
  readonly edits: number;
  /** Retirements that the target does not let happen, and how many jobs for them may follow. */
  readonly aways: number;
  readonly retirements: number;
}

export const instances = ['A', 'B'] as InstanceId[];
const record = 'record' as ItemUid;
const idle: Holder = {
  ...{ run: null, epoch: 0, connection: 'none', mark: 0, isWriting: false, isOverdue: false, lost: null },
};

export function settingsOf(fence: Fence, by: RunSettings['by']): RunSettings {
  return { by, fence, settleMs: 1, replicas: 0, waitFirstMs: 1, waitMaxMs: 1, waitsAtMost: 2 };
}

export function newJob(nth: number, kind: JobRow['kind'] = 'rotate'): JobRow {
  return {
    ...{ id: `job${nth}` as JobId, kind, record, account: null, state: 'queued', step: 'new', holder: null },
    ...{ epoch: null, attempts: 0, base: null, candidate: null, rejections: 0, sends: [], address: null },
    ...{ notBeforeMs: 0, cancelAsked: false, followUps: [], why: '' },
  };
}

/** The vault holds version 0 at revision 1, and it opens the account. */
export function firstWorld(left: Left): World {
  const account: AccountRow = {
    ...{ account: 'a', record, epoch: 0, send: 0, current: null, job: null, nextVersion: 0 },
    leftover: null,
  };
  return {
    ...{ rows: { account, job: newJob(1), versions: [], logins: [] }, rev: 1, isEdited: false, runs: 1, promotions: 0 },
    target: { opens: [0], mark: 0, took: 0 },
    ...{ flight: [], holders: [idle, idle], left, isLate: false },
  };
}

export function crashed(): Holder {
  return idle;
}

/** 53 bits of a text that two worlds share only if the same can happen in them. */
export function hashOf(world: World): number {
  const text = textOf(world);
  let [a, b] = [0x811c9dc5, 0x1234567];
  for (let i = 0; i < text.length; i += 1) {
    const char = text.charCodeAt(i);
    a = Math.imul(a ^ char, 0x01000193);
    b = Math.imul(b ^ char, 0x5bd1e995) ^ (b >>> 13);
  }
  return (a >>> 0) * 0x200000 + ((b >>> 0) & 0x1fffff);
}

function textOf({ rows, rev, isEdited, runs, promotions, target, flight, holders, left, isLate }: World): string {
  const { account, job, versions } = rows;
  let text = `${account.epoch},${account.send},${account.current},${account.job},${account.nextVersion},${account.leftover}|`;
  text += `${job.kind.charAt(2)}${job.state},${job.step},${job.holder?.instance},${job.epoch},${job.attempts},${job.base},${job.candidate},`;
  text += `${job.rejections},${sendsText(job.sends)}|`;
  for (const { n, state, rev: of } of versions) text += `${n}${state.charAt(0)}${of},`;
  text += `|${rev},${isEdited},${runs},${promotions},${isLate}|${target.opens.join()},${target.mark},${target.took}|`;
  for (const each of flight) {
    text += `${each.by},${each.send},${each.version},${each.old},${each.isOnCurrent},${each.isOverdue};`;
  }
  for (const holder of holders) text += holderText(holder);
  const { crashes, claims, sends, timeouts, policies, answers, probes, edits, aways } = left;
  return `${text}|${crashes.join()},${left.runs},${claims},${sends},${timeouts},${policies},${answers},${probes},${edits},${aways},${left.retirements}`;
}

function sendsText(sends: readonly SendRow[]): string {
  let text = '';
  for (const { send, version, outcome } of sends) text += `${send}.${version}${outcome?.charAt(0) ?? '?'}`;
  return text;
}

function holderText({ run, epoch, connection, mark, isWriting, isOverdue, lost }: Holder): string {
  if (run === null) return '|-';
  const { effect, goal, next, candidate, rejections, sends, mayBePermitted, inForce, refused, policyDoubt } = run;
  const { notSent, waits, isPromoted, view } = run;
  let text = `|${epoch},${connection},${mark},${isWriting},${isOverdue},${lost},${JSON.stringify(effect)},${goal},`;
  text += `${typeof next === 'string' ? next : JSON.stringify(next)},${candidate},${rejections},${sendsText(sends)},`;
  text += `${mayBePermitted},${inForce},${refused.join('.')},${policyDoubt},${notSent},${waits},${isPromoted},${run.isLeftOver},`;
  return `${text}${view.current},${view.versions.length}`;
}
