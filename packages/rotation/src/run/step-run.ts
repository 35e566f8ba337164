import { type JobWhy, PamError } from '@sallyport/protocol';
import type { SendRow } from '../account/rows.ts';
import type { ClaimView, LoginAnswer, RunEffect, RunEvent, RunSettings } from './effects.ts';
import {
  fail,
  go,
  isOpenEnded,
  lastRefusalOfPolicy,
  likely,
  lookOrder,
  over,
  pause,
  type RunState,
  type RunStep,
  sendsAtMost,
  settle,
} from './run-state.ts';

/**
 * One job at its holder: pure, one effect at a time, each answer the next event (docs/adr/0014-rotation-machine.md).
 *
 * Stages of a rotation: stage → connect (→ evict) → permit → write → report → probe → verified → converge → promote
 * → retire → retired → after → finish. A job that only retires looks first: probe → retire → retired → finish. Whoever takes over begins at the stored step, and never with a write.
 *
 * M1 Between two writes somebody looked which version opens (never two sends without a probe between).
 * M2 After a write whose end is not known: evict if that is the fence, wait A + Q, then look.
 * M3 Only a refused login says that a credential is wrong; every other answer waits.
 * M4 A run ends as `failed` only if none of its writes can have changed anything; else it is promoted, or a person looks.
 */
export function beginRun(view: ClaimView, settings: RunSettings): RunState {
  return {
    ...{ view, settings, effect: null, goal: 'write', next: null },
    ...{ candidate: view.candidate, rejections: view.rejections, sends: view.sends, mayBePermitted: false },
    ...{ inForce: null, refused: [], policyDoubt: null, notSent: false, waits: 0, storeWaits: 0 },
    isPromoted: view.step === 'promoted' || view.step === 'done',
    isLeftOver: false,
  };
}

export function stepRun(state: RunState, event: RunEvent): RunStep {
  switch (event.type) {
    case 'begin':
      return begin(state);
    case 'fenced':
      // Said again while it is given up, by whoever answers so: nothing more is to be done.
      return state.effect === null || state.effect.do === 'abandon'
        ? over(state)
        : go(state, { do: 'abandon', why: 'fenced' });
    case 'cancel':
      return cancel(state);
    case 'impossible':
      return impossible(state, event.why);
    case 'store-away':
      return storeAway(state);
    default: {
      const step = state.effect === null ? null : answer({ ...state, storeWaits: 0 }, state.effect, event);
      if (step !== null) return step;
      throw new PamError('PAM_INTERNAL', `${event.type} is no answer to ${state.effect?.do ?? 'nothing'}`);
    }
  }
}

function begin(state: RunState): RunStep {
  const { view, settings } = state;
  if (view.kind === 'check') return look(state);
  if (view.kind === 'retire') return beginRetirement(state);
  if (view.kind === 'rehearse') return connect(state, 'write');
  switch (view.step) {
    case 'new':
      return lastRefusalOfPolicy(state) ? fail(state, 'policy-refused') : go(state, { do: 'stage' });
    case 'intent':
      return connect(state, 'write');
    case 'permitted':
      if (state.sends.at(-1)?.outcome === 'denied') return fail(state, 'denied');
      return unsettled(state);
    case 'applied':
      return look(state);
    case 'verified':
      return settings.replicas > 0 ? go(state, { do: 'converge' }) : promote(state);
    case 'converged':
      return promote(state);
    case 'promoted':
      return promoted(state);
    case 'done':
      return go(state, { do: 'finish', outcome: 'done', why: 'rotated' });
    default:
      return view.step satisfies never;
  }
}

/** Before the first permit the store has ended the job; afterwards it is finished, then nothing follows. */
function cancel(state: RunState): RunStep {
  const mayBeWriting = state.sends.length > 0 || state.mayBePermitted || state.effect?.do === 'permit';
  if (mayBeWriting || state.effect === null) return { state, effect: null };
  return go(state, { do: 'abandon', why: 'cancelled' });
}

/** Ends the run; an end that the store does not take is never asked for again: first a person, then another holder. */
function impossible(state: RunState, why: JobWhy): RunStep {
  const { effect, settings } = state;
  if (effect?.do === 'wait') return go(state, { do: 'abandon', why });
  if (effect?.do !== 'finish') return fail(state, why);
  if (effect.outcome !== 'attention') return go(state, { do: 'finish', outcome: 'attention', why });
  return go(state, { do: 'wait', ms: settings.waitMaxMs, untilMs: null, why });
}

/** Not counted among the waits: whether the job is still ours is for the lease to say. */
function storeAway(state: RunState): RunStep {
  const { effect, settings } = state;
  if (effect === null) return over(state);
  const ms = Math.min(settings.waitMaxMs, settings.waitFirstMs * 2 ** state.storeWaits);
  const waits = { ...state, storeWaits: Math.min(state.storeWaits + 1, 30) };
  const why = 'store-away';
  if (effect.do !== 'permit') return go({ ...waits, next: effect }, { do: 'pause', ms, untilMs: null, why });
  const next = { do: 'connect', as: settings.by, version: loginVersion(state) } as const;
  return go({ ...waits, mayBePermitted: true, goal: 'write', next }, { do: 'pause', ms, untilMs: null, why });
}

/** What the answer to an effect leads to; null: it is no answer to it. */
function answer(state: RunState, effect: RunEffect, event: RunEvent): RunStep | null {
  switch (effect.do) {
    case 'stage':
      if (event.type !== 'staged') return null;
      return connect({ ...state, candidate: event.version }, 'write');
    case 'connect':
      return connected(state, effect, event);
    case 'evict':
      if (event.type !== 'evicted') return null;
      if (!event.all) return pause(state, connectEffect(state), 'target-busy');
      return state.goal === 'write' ? go(state, { do: 'permit' }) : settle(state);
    case 'permit':
      return event.type === 'permitted' ? permitted(state, event.send) : null;
    case 'write':
      return wrote(state, effect.send, event);
    case 'report':
      return event.type === 'reported' ? reported(state, effect.outcome) : null;
    case 'probe':
      return probed(state, effect.version, event);
    case 'verified':
      if (event.type !== 'recorded') return null;
      return state.settings.replicas > 0 ? go({ ...state, waits: 0 }, { do: 'converge' }) : promote(state);
    case 'converge':
      if (event.type !== 'agreed') return null;
      // A replica that is down must not keep the vault from what opens the account.
      if (event.all || state.waits >= state.settings.waitsAtMost) {
        return go({ ...state, waits: 0 }, { do: 'converged', agreed: event.all });
      }
      return pause(state, { do: 'converge' }, 'target-busy');
    case 'converged':
      return event.type === 'recorded' ? promote(state) : null;
    case 'promote':
      if (event.type === 'edited') return go(state, { do: 'finish', outcome: 'attention', why: 'record-edited' });
      return event.type === 'promoted' ? promoted({ ...state, isPromoted: true }) : null;
    case 'retire':
      return retired(state, effect, event);
    case 'retired':
      return event.type === 'recorded' ? afterRetirement(state) : null;
    case 'after': {
      const why = state.isLeftOver ? 'not-retired' : 'rotated';
      return event.type === 'after-done' ? go(state, { do: 'finish', outcome: 'done', why }) : null;
    }
    case 'rehearse':
      if (event.type !== 'rehearsed') return null;
      return go(state, {
        do: 'finish',
        ...(event.holds ? { outcome: 'done', why: 'rehearsed' } : { outcome: 'failed', why: 'precondition' }),
      });
    case 'pause':
      if (event.type !== 'resumed') return null;
      return state.next === 'look' || state.next === null ? look(state) : go(state, state.next);
    case 'wait':
    case 'finish':
      return event.type === 'recorded' ? over(state) : null;
    case 'abandon':
      return over(state);
    default:
      return effect satisfies never;
  }
}

function connect(state: RunState, goal: RunState['goal']): RunStep {
  const next = { ...state, goal };
  return go(next, connectEffect(next));
}

/** A connection from before is closed by whoever does this. */
function connectEffect(state: RunState): RunEffect & { do: 'connect' } {
  return { do: 'connect', as: state.settings.by, version: loginVersion(state) };
}

function loginVersion(state: RunState): number | null {
  if (state.settings.by === 'admin') return null;
  const next = lookOrder(state).find((n) => !state.refused.includes(n));
  return state.inForce ?? next ?? state.view.current;
}

function connected(state: RunState, effect: RunEffect & { do: 'connect' }, event: RunEvent): RunStep | null {
  if (event.type === 'connected') {
    const known = { ...state, inForce: effect.version ?? state.inForce };
    if (state.view.kind === 'rehearse') return go(known, { do: 'rehearse' });
    if (state.settings.fence === 'evict') return go(known, { do: 'evict' });
    return state.goal === 'write' ? go(known, { do: 'permit' }) : settle(known);
  }
  if (event.type === 'budget-empty') return outOfBudget(state, effect, effect.version, event.untilMs);
  if (event.type !== 'not-connected') return null;
  if (event.answer !== 'refused') return pause(state, effect, waitReason(event.answer));
  if (effect.version === null || state.view.kind === 'rehearse') return fail(state, 'no-way-in');
  const refused = { ...state, waits: 0, inForce: null, refused: [...state.refused, effect.version] };
  if (state.goal === 'write') return look(refused);
  const isMore = lookOrder(refused).some((n) => !refused.refused.includes(n));
  return isMore ? connect(refused, 'evict') : nothingOpens(refused);
}

function permitted(state: RunState, send: number): RunStep {
  const { candidate } = state;
  if (candidate === null) return fail(state, 'internal');
  const sends = [...state.sends, { send, version: candidate, outcome: null }];
  const old = state.inForce ?? state.view.current;
  return go({ ...state, sends, notSent: false }, { do: 'write', send, version: candidate, old });
}

function wrote(state: RunState, send: number, event: RunEvent): RunStep | null {
  if (event.type === 'not-sent') return told({ ...state, notSent: true }, send, 'fenced');
  if (event.type !== 'wrote') return null;
  const before = state.sends.filter((each) => each.send !== send && each.version === state.candidate);
  if (event.outcome === 'policy' && before.some((each) => isOpenEnded(each))) {
    return told({ ...state, policyDoubt: send }, send, 'unknown');
  }
  return told(state, send, event.outcome);
}

function told(state: RunState, send: number, outcome: NonNullable<SendRow['outcome']>): RunStep {
  const sends = state.sends.map((each) => (each.send === send ? { ...each, outcome } : each));
  const waits = state.notSent ? state.waits : 0;
  return go({ ...state, sends, waits }, { do: 'report', send, outcome });
}

function reported(state: RunState, outcome: NonNullable<SendRow['outcome']>): RunStep {
  switch (outcome) {
    case 'applied':
      return look({ ...state, refused: [], inForce: null });
    case 'policy': {
      const next = { ...state, candidate: null, rejections: state.rejections + 1, policyDoubt: null };
      return lastRefusalOfPolicy(next) ? fail(next, 'policy-refused') : go(next, { do: 'stage' });
    }
    case 'denied':
      return fail(state, 'denied');
    case 'fenced':
      if (state.notSent) return pause({ ...state, notSent: false }, connectEffect(state), 'target-busy');
      return unsettled(state);
    case 'unknown':
      return unsettled(state);
    default:
      return outcome satisfies never;
  }
}

/** M2: nobody knows whether a write has taken effect, or will. */
function unsettled(state: RunState): RunStep {
  const unknown = { ...state, inForce: null, refused: [] };
  return state.settings.fence === 'evict' ? connect(unknown, 'evict') : settle(unknown);
}

function look(state: RunState): RunStep {
  const next = lookOrder(state).find((n) => !state.refused.includes(n));
  return next === undefined ? nothingOpens(state) : go(state, { do: 'probe', version: next });
}

function nothingOpens(state: RunState): RunStep {
  return go(state, { do: 'finish', outcome: 'attention', why: 'nothing-opens' });
}

function probed(state: RunState, version: number, event: RunEvent): RunStep | null {
  if (event.type === 'budget-empty') return outOfBudget(state, { do: 'probe', version }, version, event.untilMs);
  if (event.type !== 'probed') return null;
  if (state.view.kind === 'retire') return lookedToRetire(state, version, event.answer);
  if (event.answer === 'refused') {
    return look({ ...state, waits: 0, refused: [...state.refused, version] });
  }
  if (event.answer !== 'opens') return pause(state, { do: 'probe', version }, waitReason(event.answer));
  const known = { ...state, waits: 0, inForce: version };
  if (state.view.kind === 'check') return checked(known, version);
  if (version === state.candidate) {
    const sent = state.sends.findLast((each) => each.version === version);
    return go(known, { do: 'verified', version, send: sent?.send ?? null });
  }
  if (state.policyDoubt !== null) return told(known, state.policyDoubt, 'policy');
  return again(known);
}

/** Something else opens: the same candidate under a new number. */
function again(state: RunState): RunStep {
  if (state.sends.length >= sendsAtMost) return fail(state, 'waited-too-long');
  return connect({ ...state, refused: [] }, 'write');
}

function checked(state: RunState, version: number): RunStep {
  const isCurrent = version === state.view.current;
  return go(state, {
    do: 'finish',
    ...(isCurrent ? { outcome: 'done', why: 'opens' } : { outcome: 'attention', why: 'drift' }),
  });
}

/**
 * R6: no more logins now. With nothing learnt the job is given back and shows until when it waits; what was learnt is
 * kept, and only what this run may have set is worth a wait.
 */
function outOfBudget(state: RunState, next: RunEffect, version: number | null, untilMs: number): RunStep {
  const why = 'budget';
  if (state.view.kind === 'retire') return fail(state, why);
  if (state.refused.length === 0) return go(state, { do: 'wait', ms: 0, untilMs, why });
  if (state.view.kind === 'check') return go(state, { do: 'finish', outcome: 'attention', why: 'drift' });
  if (version === null || likely(state).includes(version)) {
    return go({ ...state, next }, { do: 'pause', ms: 0, untilMs, why });
  }
  return nothingOpens(state);
}

function waitReason(said: Exclude<LoginAnswer, 'opens' | 'refused'>): JobWhy {
  return said === 'unknown' ? 'unknown-answer' : said;
}

function promote(state: RunState): RunStep {
  const { candidate } = state;
  return candidate === null ? fail(state, 'internal') : go(state, { do: 'promote', version: candidate });
}

function promoted(state: RunState): RunStep {
  const { candidate } = state;
  if (state.settings.fence !== 'additive' || candidate === null) return go(state, { do: 'after' });
  return go({ ...state, waits: 0 }, { do: 'retire', version: candidate });
}

/** Nothing is removed before what is to stay was seen to open; a target that is away is for the next job to try (R10). */
function beginRetirement(state: RunState): RunStep {
  if (state.settings.fence !== 'additive') return fail(state, 'no-kind');
  return go(state, { do: 'probe', version: state.view.current });
}

function lookedToRetire(state: RunState, version: number, said: LoginAnswer): RunStep {
  if (said === 'opens') return go({ ...state, inForce: version }, { do: 'retire', version });
  if (said === 'refused') return go(state, { do: 'finish', outcome: 'attention', why: 'drift' });
  return fail(state, waitReason(said));
}

/** A target that is away is waited for; what cannot be removed then is left over, and a job of its own tries again. */
function retired(state: RunState, effect: RunEffect & { do: 'retire' }, event: RunEvent): RunStep | null {
  if (event.type === 'retired') return go(state, { do: 'retired', version: effect.version });
  if (event.type !== 'not-connected') return null;
  const why = event.answer === 'refused' ? 'denied' : waitReason(event.answer);
  if (state.view.kind === 'retire') return fail(state, why);
  const isOver = event.answer === 'refused' || state.waits >= state.settings.waitsAtMost;
  return isOver ? go({ ...state, isLeftOver: true }, { do: 'after' }) : pause(state, effect, why);
}

function afterRetirement(state: RunState): RunStep {
  return go(state, state.view.kind === 'retire' ? { do: 'finish', outcome: 'done', why: 'retired' } : { do: 'after' });
}
