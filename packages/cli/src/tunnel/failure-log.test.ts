import fc from 'fast-check';
import { expect, test } from 'vitest';
import { failed, type FailureLine, failureLogLimits, newFailureLog, remind } from './failure-log.ts';

const refused = { key: 'PAM_TARGET_REFUSED x', text: 'the target refused' };

test('a flood of one cause is one line, then a count every 30 s while it lasts, then nothing', () => {
  let state = newFailureLog;
  const lines: FailureLine[] = [];
  for (let ms = 0; ms < 90_000; ms += 10) {
    const step = failed(state, refused, ms);
    state = step.state;
    lines.push(...step.lines);
  }
  for (const ms of [90_000, 130_000, 170_000]) {
    const step = remind(state, ms);
    state = step.state;
    lines.push(...step.lines);
  }
  expect(lines.map((line) => (line.kind === 'first' ? 'first' : line.count))).toEqual(['first', 2_999, 3_000, 3_000]);
  expect(state.causes).toEqual([]);
});

test('a cause that is new is said at once, however loud another is', () => {
  const { state } = failed(newFailureLog, refused, 0);
  const other = { key: 'PAM_TARGET_TIMEOUT y', text: 'no answer' };
  expect(failed(state, other, 1).lines).toEqual([{ kind: 'first', text: 'no answer' }]);
});

test('every failure is said or counted exactly once, and memory stays bounded', () => {
  const floods = fc.array(fc.tuple(fc.nat(5_000), fc.nat(60)), { maxLength: 300 });
  fc.assert(
    fc.property(floods, (all) => {
      let state = newFailureLog;
      let [ms, told] = [0, 0];
      const count = (lines: readonly FailureLine[]) => {
        for (const line of lines) told += line.kind === 'first' ? 1 : line.count;
      };
      for (const [gap, cause] of all) {
        ms += gap;
        const step = failed(state, { key: `${cause}`, text: `${cause}` }, ms);
        state = step.state;
        count(step.lines);
        expect(state.causes.length).toBeLessThanOrEqual(failureLogLimits.causes);
      }
      count(remind(state, ms + failureLogLimits.everyMs).lines);
      expect(told).toBe(all.length);
    }),
  );
});
