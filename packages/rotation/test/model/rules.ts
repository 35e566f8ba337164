import {
  decideClaim,
  decideFinish,
  decidePermit,
  decidePromote,
  decideReport,
  decideStage,
  decideWait,
  type Fence,
  stepRun,
} from '../../src/index.ts';
import type { Flight, Target } from './world.ts';

/** The production rules, and the two things that are not ours: what a target does, and what an executor keeps to. */
export interface Rules {
  readonly claim: typeof decideClaim;
  readonly stage: typeof decideStage;
  readonly permit: typeof decidePermit;
  readonly report: typeof decideReport;
  readonly promote: typeof decidePromote;
  readonly wait: typeof decideWait;
  readonly finish: typeof decideFinish;
  readonly step: typeof stepRun;
  /** What the fence of this kind makes of a write that arrives; null: it changes nothing. */
  readonly take: (target: Target, write: Flight, fence: Fence) => Target | null;
  readonly retire: (target: Target, keep: number) => Target;
  /** Does evicting end the other connections? */
  readonly evicts: boolean;
  /** Does a write go out on the connection from before its permit, or never? */
  readonly sameConnection: boolean;
}

export const production: Rules = {
  ...{ claim: decideClaim, stage: decideStage, permit: decidePermit, report: decideReport, promote: decidePromote },
  ...{ wait: decideWait, finish: decideFinish, step: stepRun, take, retire, evicts: true, sameConnection: true },
};

function take(target: Target, write: Flight, fence: Fence): Target | null {
  const { send, version } = write;
  const one = { opens: [version], mark: target.mark, took: send };
  switch (fence) {
    case 'number':
      return send > target.mark ? { ...one, mark: send } : null;
    case 'compare':
      return target.opens.includes(write.old) ? one : null;
    case 'additive':
      return { ...one, opens: [...new Set([...target.opens, version])].sort((a, b) => a - b) };
    case 'evict':
    case 'none':
      return one;
    default:
      return fence satisfies never;
  }
}

/** Only what earlier rotations left: a retirement that comes late must not take the key of a later one. */
function retire(target: Target, keep: number): Target {
  return { ...target, opens: target.opens.filter((version) => version >= keep) };
}
