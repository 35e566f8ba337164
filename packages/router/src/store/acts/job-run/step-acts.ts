import { decidePermit, decideReport, decideStage, decideWait } from '@sallyport/rotation';
import type { RotationStore } from '../../../rotation/index.ts';
import type { ActsOf } from '../../act.ts';
import { addEntry, addNote } from '../job-rows.ts';
import { lockRows, saveRows } from './held-rows.ts';
import { decided, keyed } from './holder-call.ts';
import { refused } from './refused.ts';

/** What happened, in a word for people. */
function wordOf(what: Parameters<typeof decideReport>[1]['what']): string {
  switch (what.kind) {
    case 'wrote':
      return `wrote: ${what.outcome}`;
    case 'verified':
      return 'verified';
    case 'converged':
      return what.agreed ? 'converged' : 'replicas differ';
    case 'retired':
      return 'retired';
    case 'follow-up':
      return `${what.isOnce ? 'script' : 'service'}: ${what.state}`;
    case 'waits':
      return what.why;
    default:
      return what satisfies never;
  }
}

export const stepActs: Pick<ActsOf<RotationStore>, 'stageVersion' | 'permitSend' | 'reportStep' | 'waitJob'> = {
  *stageVersion(q, input) {
    const { gen, envelope, nowMs } = input;
    return yield* keyed(q, input, (rows) => decideStage(rows, input, nowMs), {
      what: 'staged',
      sealed: { gen, envelope },
    });
  },

  *permitSend(q, input) {
    const address = JSON.stringify(input.address);
    const held = yield* lockRows(q, input.job);
    if ('refused' in held) return held;
    // Asked again it is another write under a number of its own: an old permit is never given a new time.
    const decision = decidePermit(held.rows, { ...input, adds: input.adds ?? false, address });
    return yield* decided(q, held, input, decision, { what: 'permitted' });
  },

  *reportStep(q, input) {
    const { what, note } = input;
    return yield* keyed(q, input, (rows) => decideReport(rows, input), { what: wordOf(what), note });
  },

  *waitJob(q, input) {
    const held = yield* lockRows(q, input.job);
    if ('refused' in held) return held;
    const { nowMs, instance, note, why } = input;
    const decision = decideWait(held.rows, input, nowMs);
    // The answer of before was lost.
    const isAgain = !decision.ok && held.job.state === 'waiting' && held.job.epoch === input.epoch;
    if (isAgain) return {};
    if (!decision.ok) return refused(decision.code, decision.why);
    const saved = yield* saveRows(q, held, decision.rows, { nowMs });
    yield* addEntry(q, saved, { what: `waits: ${why}`, instance, nowMs });
    yield* addNote(q, saved.id, note);
    return {};
  },
};
