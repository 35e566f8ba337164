import { expect, test } from 'vitest';
import type { ClaimView, RunEffect, RunEvent, RunSettings } from './effects.ts';
import { beginRun, stepRun } from './step-run.ts';

const settings: RunSettings = {
  ...{ by: 'admin', fence: 'number', settleMs: 12_000, replicas: 0 },
  ...{ waitFirstMs: 1_000, waitMaxMs: 60_000, waitsAtMost: 3 },
};
const view: ClaimView = {
  ...{ kind: 'rotate', epoch: 101, step: 'new', base: 4, current: 0, candidate: null, rejections: 0, sends: [] },
  ...{ address: null, versions: [{ n: 0, state: 'adopted' }] },
};
const takenOver: ClaimView = {
  ...{ ...view, step: 'permitted', candidate: 3, sends: [{ send: 8, version: 3, outcome: null }] },
  versions: [3, 2, 1, 0].map((n) => ({ n, state: n === 3 ? 'candidate' : 'adopted' })),
};

/** Runs to the end, answering each effect; the words of what was done. */
function run(
  from: ClaimView,
  given: Partial<RunSettings>,
  answer: (effect: RunEffect, nth: number) => RunEvent,
): string[] {
  const done: string[] = [];
  let { state, effect } = stepRun(beginRun(from, { ...settings, ...given }), { type: 'begin' });
  for (let nth = 0; effect !== null; nth += 1) {
    expect(nth).toBeLessThan(200);
    done.push(word(effect));
    ({ state, effect } = stepRun(state, answer(effect, nth)));
  }
  return done;
}
function word(effect: RunEffect): string {
  switch (effect.do) {
    case 'probe':
    case 'promote':
      return `${effect.do} ${effect.version}`;
    case 'connect':
      return effect.version === null ? 'connect' : `connect ${effect.version}`;
    case 'write':
      return `write ${effect.version} over ${effect.old}`;
    case 'report':
      return `report ${effect.outcome}`;
    case 'pause':
    case 'wait':
      return `${effect.do} ${effect.why}`;
    case 'finish':
      return `${effect.outcome} ${effect.why}`;
    default:
      return effect.do;
  }
}

/** A target that does all it is asked; `opens` says which versions open. */
function kind(effect: RunEffect, opens: (version: number) => boolean = () => true): RunEvent {
  switch (effect.do) {
    case 'stage':
      return { type: 'staged', version: 3 };
    case 'connect':
      return { type: 'connected', mark: 7 };
    case 'evict':
      return { type: 'evicted', all: true };
    case 'permit':
      return { type: 'permitted', send: 9 };
    case 'write':
      return { type: 'wrote', outcome: 'applied' };
    case 'report':
      return { type: 'reported' };
    case 'probe':
      return { type: 'probed', answer: opens(effect.version) ? 'opens' : 'refused' };
    case 'converge':
      return { type: 'agreed', all: true };
    case 'promote':
      return { type: 'promoted' };
    case 'retire':
      return { type: 'retired' };
    case 'after':
      return { type: 'after-done' };
    case 'rehearse':
      return { type: 'rehearsed', holds: true };
    case 'pause':
      return { type: 'resumed' };
    default:
      return { type: 'recorded' };
  }
}

const write = ['connect', 'permit', 'write 3 over 0', 'report applied', 'probe 3', 'verified'];
const end = ['promote 3', 'after', 'done rotated'];

test('stages, logs in, asks, writes, looks, and only then moves the pointer', () => {
  expect(run(view, {}, (effect) => kind(effect))).toEqual(['stage', ...write, ...end]);
  expect(run(view, { fence: 'evict', replicas: 1 }, (effect) => kind(effect)).join()).toContain('connect,evict,permit');
  expect(run(view, { fence: 'additive' }, (effect) => kind(effect)).join()).toContain('promote 3,retire,retired,after');
  expect(run(view, { by: 'own' }, (effect) => kind(effect)).slice(0, 2)).toEqual(['stage', 'connect 0']);
});

test('a target that is away when the older ones go is waited for, and not for ever', () => {
  const away = (times: number): readonly string[] => {
    let left = times;
    return run(view, { fence: 'additive' }, (effect) => {
      if (effect.do !== 'retire' || left === 0) return kind(effect);
      left -= 1;
      return { type: 'not-connected', answer: 'unreachable' };
    });
  };
  const looked = ['promote 3', 'retire', 'pause unreachable', 'retire', 'pause unreachable', 'retire'];
  expect(away(2).slice(-9)).toEqual([...looked, 'retired', 'after', 'done rotated']);
  const ends = away(Number.POSITIVE_INFINITY);
  expect(ends.filter((each) => each === 'retire')).toHaveLength(settings.waitsAtMost + 1);
  expect(ends.slice(-2)).toEqual(['after', 'done not-retired']);
});

test('whoever takes over waits and looks before anything is written', () => {
  expect(run(takenOver, {}, (effect) => kind(effect))).toEqual(['pause settling', 'probe 3', 'verified', ...end]);
  expect(run(takenOver, { fence: 'evict' }, (effect) => kind(effect)).slice(0, 4)).toEqual([
    ...['connect', 'evict', 'pause settling', 'probe 3'],
  ]);
  let isWritten = false;
  const old = run(takenOver, {}, (effect) => {
    if (effect.do === 'write') isWritten = true;
    return kind(effect, (version) => version === (isWritten ? 3 : 0));
  });
  expect(old.slice(0, 6)).toEqual(['pause settling', 'probe 3', 'probe 0', 'connect', 'permit', 'write 3 over 0']);
  isWritten = false;
  const older = run(takenOver, {}, (effect) => {
    if (effect.do === 'write') isWritten = true;
    return kind(effect, (version) => version === (isWritten ? 3 : 1));
  });
  expect(older).toContain('write 3 over 1');
});

test('with nothing that opens it asks for a person; every version was tried once', () => {
  expect(run(takenOver, {}, (effect) => kind(effect, () => false))).toEqual([
    ...['pause settling', 'probe 3', 'probe 0', 'probe 2', 'probe 1', 'attention nothing-opens'],
  ]);
});

test('a write of which nobody knows is looked after, and sent again under a new permit only after that', () => {
  let writes = 0;
  const done = run(view, {}, (effect) => {
    if (effect.do === 'write') {
      writes += 1;
      return { type: 'wrote', outcome: writes === 1 ? 'unknown' : 'applied' };
    }
    return kind(effect, (version) => version === (writes < 2 ? 0 : 3));
  });
  const looked = ['report unknown', 'pause settling', 'probe 3', 'probe 0'];
  expect(done).toEqual(['stage', ...write.slice(0, 3), ...looked, ...write, ...end]);
});

test('the policy gets another candidate five times, then the run failed and nothing was changed', () => {
  const done = run(view, {}, (effect) => (effect.do === 'write' ? { type: 'wrote', outcome: 'policy' } : kind(effect)));
  expect(done.filter((each) => each === 'stage')).toHaveLength(5);
  expect(done.at(-1)).toBe('failed policy-refused');
});

test('a policy that refuses what an earlier write may have set is not believed before a look', () => {
  let writes = 0;
  const done = run(view, {}, (effect) => {
    if (effect.do === 'write') writes += 1;
    if (effect.do === 'permit') return { type: 'permitted', send: 9 + writes };
    if (effect.do === 'write') return { type: 'wrote', outcome: writes === 1 ? 'unknown' : 'policy' };
    return kind(effect, (version) => version === (writes < 2 ? 0 : 3));
  });
  expect(done.slice(-7)).toEqual(['report unknown', 'pause settling', 'probe 3', 'verified', ...end]);
});

test('only a refused login counts; any other answer is waited for, and then a person looks', () => {
  for (const answer of ['locked', 'expired', 'unreachable', 'unknown'] as const) {
    const done = run(takenOver, {}, (effect) => (effect.do === 'probe' ? { type: 'probed', answer } : kind(effect)));
    expect(done.filter((each) => each === 'probe 3')).toHaveLength(4);
    expect(done.at(-1)).toBe('attention waited-too-long');
  }
  const none = run(view, {}, (effect) =>
    effect.do === 'connect' ? { type: 'not-connected', answer: 'unreachable' } : kind(effect),
  );
  expect(none.at(-1)).toBe('failed unreachable');
});

test('without budget and knowledge the job is given back; with knowledge it waits in place', () => {
  const empty: RunEvent = { type: 'budget-empty', untilMs: 99 };
  const given = run(takenOver, {}, (effect) => (effect.do === 'probe' ? empty : kind(effect)));
  expect(given).toEqual(['pause settling', 'probe 3', 'wait budget']);
  let probes = 0;
  const kept = run(takenOver, {}, (effect) => {
    if (effect.do === 'probe') probes += 1;
    return effect.do === 'probe' && probes === 2 ? empty : kind(effect, () => false);
  });
  expect(kept.slice(1, 5)).toEqual(['probe 3', 'probe 0', 'pause budget', 'probe 0']);
});

test('what was edited meanwhile is not overwritten', () => {
  const done = run(view, {}, (effect) => (effect.do === 'promote' ? { type: 'edited' } : kind(effect)));
  expect(done.at(-1)).toBe('attention record-edited');
});

test('a permit whose answer was lost is not used, and asked for anew on a new connection', () => {
  let asks = 0;
  const done = run(view, {}, (effect) => {
    if (effect.do === 'permit') asks += 1;
    return effect.do === 'permit' && asks === 1 ? { type: 'store-away' } : kind(effect);
  });
  expect(done.slice(0, 6)).toEqual(['stage', 'connect', 'permit', 'pause store-away', 'connect', 'permit']);
});

test('whoever lost the job stops at any effect without another', () => {
  const all = run(view, { fence: 'evict', replicas: 1 }, (effect) => kind(effect));
  for (let at = 0; at < all.length; at += 1) {
    const done = run(view, { fence: 'evict', replicas: 1 }, (effect, nth) =>
      nth === at ? { type: 'fenced' } : kind(effect),
    );
    expect(done.slice(at + 1)).toEqual(['abandon']);
  }
});

test('a cancel ends what has not asked for a permit, and nothing else', () => {
  const begun = stepRun(beginRun(view, settings), { type: 'begin' });
  expect(stepRun(begun.state, { type: 'cancel' }).effect).toEqual({ do: 'abandon', why: 'cancelled' });
  const later = stepRun(beginRun(takenOver, settings), { type: 'begin' });
  expect(stepRun(later.state, { type: 'cancel' }).effect).toBeNull();
});

test('a check never writes: it opens, or drifted, or asks again later', () => {
  const check: ClaimView = { ...takenOver, kind: 'check', step: 'new', candidate: null, sends: [] };
  expect(run(check, {}, (effect) => kind(effect))).toEqual(['probe 0', 'done opens']);
  expect(run(check, {}, (effect) => kind(effect, (version) => version === 2)).at(-1)).toBe('attention drift');
  expect(run(check, {}, (effect) => kind(effect, () => false)).at(-1)).toBe('attention nothing-opens');
  const away = run(check, {}, (effect) =>
    effect.do === 'probe' ? { type: 'probed', answer: 'locked' } : kind(effect),
  );
  expect(away.at(-1)).toBe('failed locked');
});

test('[R10] what could not be removed within the waits of a run is left over, and the run says so', () => {
  const away = (answer: 'unreachable' | 'refused') =>
    run(view, { fence: 'additive' }, (effect) =>
      effect.do === 'retire' ? { type: 'not-connected', answer } : kind(effect, (version) => version === 3),
    );
  expect(away('unreachable').filter((word) => word === 'pause unreachable')).toHaveLength(settings.waitsAtMost);
  expect(away('unreachable').slice(-2)).toEqual(['after', 'done not-retired']);
  expect(away('refused').slice(-4)).toEqual(['promote 3', 'retire', 'after', 'done not-retired']);
  const done = run(view, { fence: 'additive' }, (effect) => kind(effect, (version) => version === 3));
  expect(done.slice(-4)).toEqual(['retire', 'retired', 'after', 'done rotated']);
});

test('[R10] a job that only retires looks first, and leaves a target that is away to the next one', () => {
  const retire: ClaimView = { ...takenOver, kind: 'retire', step: 'new', current: 3, candidate: null, sends: [] };
  const additive = { fence: 'additive' } as const;
  expect(run(retire, additive, (effect) => kind(effect))).toEqual(['probe 3', 'retire', 'retired', 'done retired']);
  expect(run(retire, additive, (effect) => kind(effect, () => false))).toEqual(['probe 3', 'attention drift']);
  const locked = run(retire, additive, (effect) =>
    effect.do === 'probe' ? { type: 'probed', answer: 'locked' } : kind(effect),
  );
  expect(locked).toEqual(['probe 3', 'failed locked']);
  const refused = run(retire, additive, (effect) =>
    effect.do === 'retire' ? { type: 'not-connected', answer: 'refused' } : kind(effect),
  );
  expect(refused).toEqual(['probe 3', 'retire', 'failed denied']);
  const broke = run(retire, additive, (effect) =>
    effect.do === 'probe' ? { type: 'budget-empty', untilMs: 5 } : kind(effect),
  );
  expect(broke).toEqual(['probe 3', 'failed budget']);
  expect(run(retire, { fence: 'number' }, (effect) => kind(effect))).toEqual(['failed no-kind']);
});

test('a rehearsal logs in and looks, and never asks for a permit', () => {
  const rehearse: ClaimView = { ...view, kind: 'rehearse' };
  expect(run(rehearse, {}, (effect) => kind(effect))).toEqual(['connect', 'rehearse', 'done rehearsed']);
  const no = run(rehearse, {}, (effect) =>
    effect.do === 'rehearse' ? { type: 'rehearsed', holds: false } : kind(effect),
  );
  expect(no.at(-1)).toBe('failed precondition');
});

test('a run that is given up ends, whatever its executor answers or hears meanwhile', () => {
  const fenced = stepRun(stepRun(beginRun(view, settings), { type: 'begin' }).state, { type: 'fenced' });
  expect(fenced.effect).toMatchObject({ do: 'abandon' });
  for (const event of [{ type: 'fenced' }, { type: 'recorded' }] as const) {
    const over = stepRun(fenced.state, event);
    expect(over.effect).toBeNull();
    expect(stepRun(over.state, { type: 'fenced' }).effect).toBeNull();
  }
});

test('an end that the store does not take is not asked for again and again', () => {
  const refuses = (words: readonly RunEffect['do'][]) => (effect: RunEffect) =>
    words.includes(effect.do) ? ({ type: 'impossible', why: 'internal' } as const) : kind(effect);
  expect(run(view, {}, refuses(['stage', 'finish'])).slice(-3)).toEqual([
    ...['failed internal', 'attention internal', 'wait internal'],
  ]);
  expect(run(view, {}, refuses(['stage', 'finish', 'wait'])).slice(-2)).toEqual(['wait internal', 'abandon']);
});
