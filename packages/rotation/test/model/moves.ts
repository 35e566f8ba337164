import {
  beginRun,
  type ClaimView,
  type Decision,
  type Fence,
  isOpen,
  type RunEffect,
  type RunEvent,
  type RunSettings,
  type RunStep,
} from '../../src/index.ts';
import { Broken } from './broken.ts';
import type { Rules } from './rules.ts';
import { crashed, type Flight, type Holder, instances, type Left, newJob, type World } from './world.ts';

export interface Move {
  readonly what: string;
  readonly world: World;
}
export interface Model {
  readonly rules: Rules;
  readonly fence: Fence;
  readonly settings: RunSettings;
}

/** Everything that can happen next. */
export function movesOf(world: World, model: Model): Move[] {
  return [
    ...order(world),
    ...orderRetirement(world),
    ...world.holders.flatMap((holder, who) => [
      ...(holder.run === null ? claim(world, who, model) : act(world, who, holder, model)),
      ...crash(world, who, holder),
    ]),
    ...edit(world),
    ...world.flight.flatMap((write, nth) => arrive(world, write, nth, model)),
  ];
}

function spend(left: Left, what: Exclude<keyof Left, 'crashes'>): Left {
  return { ...left, [what]: left[what] - 1 };
}
function withHolder(world: World, who: number, change: Partial<Holder>): World {
  return { ...world, holders: world.holders.map((each, nth) => (nth === who ? { ...each, ...change } : each)) };
}

function order(world: World): Move[] {
  const { account, job } = world.rows;
  if (world.left.runs === 0 || isOpen(job) || job.state === 'attention' || account.job !== null) return [];
  const runs = world.runs + 1;
  const rows = { ...world.rows, job: newJob(runs) };
  return [{ what: 'order', world: { ...world, rows, runs, promotions: 0, left: spend(world.left, 'runs') } }];
}

/** As the store plans it after every end, and as people order it. */
function orderRetirement(world: World): Move[] {
  const { account, job } = world.rows;
  if (world.left.retirements === 0 || isOpen(job) || account.job !== null || account.leftover === null) return [];
  const runs = world.runs + 1;
  const rows = { ...world.rows, job: newJob(runs, 'retire') };
  const left = spend(world.left, 'retirements');
  return [{ what: 'order a retirement', world: { ...world, rows, runs, promotions: 0, left } }];
}

function edit(world: World): Move[] {
  if (world.left.edits === 0 || world.rows.account.job === null) return [];
  return [{ what: 'edit', world: { ...world, rev: world.rev + 1, isEdited: true, left: spend(world.left, 'edits') } }];
}

function crash(world: World, who: number, holder: Holder): Move[] {
  if (holder.run === null || world.left.crashes[who] !== 1) return [];
  const crashes = world.left.crashes.map((n, nth) => (nth === who ? 0 : n));
  const flight = leaveConnection(world.flight, who);
  const dead = withHolder({ ...world, flight, left: { ...world.left, crashes } }, who, crashed());
  return [{ what: `${instances[who]} dies`, world: dead }];
}
function leaveConnection(flight: readonly Flight[], who: number): readonly Flight[] {
  return flight.map((each) => (each.by === who ? { ...each, isOnCurrent: false } : each));
}

function claim(world: World, who: number, { rules, settings }: Model): Move[] {
  const instance = instances[who];
  // At any moment the lease of the holder may be given away; he is not told.
  const isTaken = world.rows.job.state === 'running';
  const job = isTaken ? ({ ...world.rows.job, state: 'queued', holder: null } as const) : world.rows.job;
  if (instance === undefined || world.left.claims === 0 || (job.state !== 'queued' && job.state !== 'waiting'))
    return [];
  const decision = rules.claim({ ...world.rows, job }, { instance, lease: 1, secretsRev: world.rev }, 0);
  const claimed = { ...world, rows: decision.rows, left: spend(world.left, 'claims') };
  const what = `${instance} claims`;
  if (!decision.ok) return [{ what: `${what}: ${decision.code}`, world: claimed }];
  const { account, versions } = decision.rows;
  const { kind, step, base, candidate, rejections, sends } = decision.rows.job;
  if (kind === 'after') throw new Error('what only follows a rotation has no run');
  const view: ClaimView = {
    ...{ kind, epoch: decision.answer.epoch, step, base: base ?? 0, current: account.current ?? 0 },
    ...{ candidate, rejections, sends, address: null },
    versions: versions.map((version) => ({ n: version.n, state: version.state })),
  };
  const begun = past(rules.step(beginRun(view, settings), { type: 'begin' }), rules);
  const holder = { ...crashed(), run: begun.state, epoch: decision.answer.epoch };
  return [{ what, world: withHolder(claimed, who, holder) }];
}

function tell(world: World, who: number, event: RunEvent, { rules }: Model, change: Partial<Holder> = {}): World {
  const run = world.holders[who]?.run;
  if (run === null || run === undefined) throw new Error('nobody to tell');
  const step = past(rules.step(run, event), rules);
  if (step.effect?.do === 'abandon' || step.effect === null) {
    return withHolder({ ...world, flight: leaveConnection(world.flight, who) }, who, crashed());
  }
  return withHolder(world, who, { ...change, run: step.state });
}

/** What touches nothing that anybody else sees is no move of its own. */
function past(from: RunStep, rules: Rules): RunStep {
  let step = from;
  for (let local = localAnswer(step.effect); local !== null; local = localAnswer(step.effect)) {
    step = rules.step(step.state, local);
  }
  return step;
}

function localAnswer(effect: RunEffect | null): RunEvent | null {
  if (effect?.do === 'after') return { type: 'after-done' };
  return effect?.do === 'pause' && effect.why !== 'settling' ? { type: 'resumed' } : null;
}

/** What the holder's effect can lead to. */
function act(world: World, who: number, holder: Holder, model: Model): Move[] {
  const effect = holder.run?.effect;
  const name = instances[who] ?? '';
  if (effect === null || effect === undefined) throw new Error('a run that is over has a holder');
  const to = (event: RunEvent, change: Partial<Holder> = {}, from = world, more = ''): Move => ({
    what: `${name} ${effect.do}${more}`,
    world: tell(from, who, event, model, change),
  });
  switch (effect.do) {
    case 'connect':
      return [connect(world, who, effect, to)];
    case 'evict': {
      if (!model.rules.evicts) return [to({ type: 'evicted', all: true })];
      const flight = world.flight.filter((each) => each.by === who && each.isOnCurrent);
      const holders = world.holders.map((each, nth) =>
        nth === who || each.connection !== 'open' ? each : { ...each, connection: 'gone' as const },
      );
      return [to({ type: 'evicted', all: true }, {}, { ...world, flight, holders })];
    }
    case 'write':
      return write(world, who, holder, effect, model, to);
    case 'probe': {
      const answer = world.target.opens.includes(effect.version) ? 'opens' : 'refused';
      const moves = [to({ type: 'probed', answer }, {}, world, ` ${effect.version}: ${answer}`)];
      if (world.left.probes === 0) return moves;
      const from = { ...world, left: spend(world.left, 'probes') };
      return [...moves, to({ type: 'probed', answer: 'unknown' }, {}, from, ` ${effect.version}: unknown`)];
    }
    case 'retire':
      return retire(world, effect.version, model, to);
    case 'converge':
      return [to({ type: 'agreed', all: true })];
    case 'pause':
      return [to({ type: 'resumed' }, {}, settled(world), ' until it settled')];
    case 'after':
    case 'rehearse':
    case 'abandon':
      throw new Error(`${effect.do} has no place here`);
    default:
      return call(world, who, holder, effect, model, to);
  }
}
/** Done and answered; not done; or done, and the answer lost. */
function retire(world: World, version: number, { rules }: Model, to: To): Move[] {
  const done = { ...world, target: rules.retire(world.target, version) };
  const moves = [to({ type: 'retired' }, {}, done)];
  if (world.left.aways === 0) return moves;
  const left = spend(world.left, 'aways');
  return [
    ...moves,
    to({ type: 'not-connected', answer: 'unreachable' }, {}, { ...world, left }, ': not connected'),
    to({ type: 'not-connected', answer: 'refused' }, {}, { ...world, left }, ': refused'),
    to({ type: 'not-connected', answer: 'unreachable' }, {}, { ...done, left }, ': done, not answered'),
  ];
}

type To = (event: RunEvent, change?: Partial<Holder>, from?: World, more?: string) => Move;

function connect(world: World, who: number, effect: RunEffect & { do: 'connect' }, to: To): Move {
  const from = { ...world, flight: leaveConnection(world.flight, who) };
  if (effect.version !== null && !world.target.opens.includes(effect.version)) {
    return to(
      { type: 'not-connected', answer: 'refused' },
      { connection: 'none' },
      from,
      ` ${effect.version}: refused`,
    );
  }
  const { mark } = world.target;
  return to({ type: 'connected', mark }, { connection: 'open', mark }, from);
}

/** After this nothing of an earlier permit takes effect, unless somebody slept over its limits. */
function settled(world: World): World {
  return {
    ...world,
    flight: world.flight.map((each) => ({ ...each, isOverdue: true })),
    holders: world.holders.map((each) =>
      each.run?.effect?.do === 'write' && !each.isWriting ? { ...each, isOverdue: true } : each,
    ),
  };
}

function write(
  world: World,
  who: number,
  holder: Holder,
  effect: RunEffect & { do: 'write' },
  model: Model,
  to: To,
): Move[] {
  const fresh = { isWriting: false, isOverdue: false };
  if (holder.isWriting) {
    if (world.left.timeouts === 0) return [];
    const from = { ...world, left: spend(world.left, 'timeouts'), flight: leaveConnection(world.flight, who) };
    return [to({ type: 'wrote', outcome: 'unknown' }, { ...fresh, connection: 'none' }, from, ': no answer')];
  }
  if (holder.connection !== 'open' && model.rules.sameConnection)
    return [to({ type: 'not-sent' }, fresh, world, ': not sent')];
  const { send, version, old } = effect;
  const sent = { by: who, send, version, old, isOnCurrent: true, isOverdue: holder.isOverdue };
  const out = withHolder({ ...world, flight: [...world.flight, sent] }, who, { isWriting: true });
  return [{ what: `${instances[who]} writes ${version} under ${send}`, world: out }];
}

/** A write reaches the target, or never does. Its holder hears of it while it waits on that connection. */
function arrive(world: World, write: Flight, nth: number, model: Model): Move[] {
  const flight = world.flight.filter((_, index) => index !== nth);
  const hears = write.isOnCurrent && world.holders[write.by]?.isWriting === true;
  const answer = (from: World, outcome: 'applied' | 'fenced' | 'policy'): World =>
    hears ? tell(from, write.by, { type: 'wrote', outcome }, model, { isWriting: false, isOverdue: false }) : from;
  const what = `write ${write.send}`;
  const target = model.rules.take(world.target, write, model.fence);
  const isGivenUp = ![world.rows.job.candidate, world.rows.account.current].includes(write.version);
  const isLateHere = (write.isOverdue && model.fence === 'none') || (isGivenUp && model.fence === 'additive');
  const isLate = world.isLate || (target !== null && isLateHere);
  if (target !== null && model.fence !== 'none' && model.fence !== 'additive' && write.send <= world.target.took) {
    throw new Broken(`R3 write ${write.send} took effect after ${world.target.took}`);
  }
  const there = { ...world, flight, isLate, target: target ?? world.target };
  const moves = [
    {
      what: `${what} ${target === null ? 'is fenced off' : 'takes effect'}`,
      world: answer(there, target === null ? 'fenced' : 'applied'),
    },
  ];
  if (!hears) moves.push({ what: `${what} is lost`, world: { ...world, flight } });
  if (hears && world.left.policies > 0) {
    const left = spend(world.left, 'policies');
    moves.push({ what: `${what} is refused by policy`, world: answer({ ...world, flight, left }, 'policy') });
  }
  return moves;
}

/** A call to the store: done and answered; done, and the answer lost; or never arrived. */
function call(world: World, who: number, holder: Holder, effect: RunEffect, model: Model, to: To): Move[] {
  const done = decide(world, who, holder, effect, model);
  if (done.event.type === 'fenced') return [to(done.event, {}, done.world, ': refused')];
  const moves = [to(done.event, { lost: null }, done.world)];
  if (world.left.answers === 0 || holder.lost !== null) return moves;
  const left = spend(world.left, 'answers');
  // A permit is never asked for twice under one key; every other call is answered the same when it comes again.
  const lost = effect.do === 'permit' ? null : JSON.stringify(done.event);
  return [
    ...moves,
    to({ type: 'store-away' }, { lost }, { ...done.world, left }, ': answer lost'),
    to({ type: 'store-away' }, {}, { ...world, left }, ': store away'),
  ];
}

function decide(
  world: World,
  who: number,
  holder: Holder,
  effect: RunEffect,
  { rules, fence }: Model,
): { readonly world: World; readonly event: RunEvent } {
  const { rows } = world;
  const instance = instances[who];
  if (instance === undefined) throw new Error('no such holder');
  const at = { instance, epoch: holder.epoch };
  const isOurs = rows.job.epoch === holder.epoch && rows.job.holder?.instance === instance;
  if (holder.lost !== null) {
    const again = JSON.parse(holder.lost) as RunEvent;
    // An end was told, whoever has the job now.
    const isEnd = effect.do === 'finish' || effect.do === 'wait';
    return { world, event: isOurs || isEnd ? again : { type: 'fenced' } };
  }
  const answered = <Answer>(decision: Decision<Answer>, event: (answer: Answer) => RunEvent) => {
    if (decision.ok) return { world: { ...world, rows: decision.rows }, event: event(decision.answer) };
    if (decision.code === 'PAM_CONFLICT') throw new Broken(`the machine asked for what is refused: ${decision.why}`);
    return { world: { ...world, rows: decision.rows }, event: { type: 'fenced' } as const };
  };
  switch (effect.do) {
    case 'stage':
      return answered(rules.stage(rows, { ...at, rev: (rows.job.base ?? 0) + 1 }, 0), ({ version }) => ({
        ...{ type: 'staged', version },
      }));
    case 'permit': {
      if (world.left.sends === 0) return { world, event: { type: 'fenced' } };
      const adds = fence === 'additive';
      const permit = rules.permit(rows, { ...at, mark: holder.mark, adds, address: '' });
      if (permit.ok && !isOurs) throw new Broken('I14 a permit for somebody who does not hold the job');
      const next = answered(permit, ({ send }) => ({ type: 'permitted', send }));
      return { ...next, world: { ...next.world, left: spend(world.left, 'sends') } };
    }
    case 'report':
      return answered(
        rules.report(rows, { ...at, what: { kind: 'wrote', send: effect.send, outcome: effect.outcome } }),
        () => ({ type: 'reported' }),
      );
    case 'verified':
      return answered(
        rules.report(rows, { ...at, what: { kind: 'verified', version: effect.version, send: effect.send } }),
        () => ({ type: 'recorded' }),
      );
    case 'converged':
      return answered(rules.report(rows, { ...at, what: { kind: 'converged', agreed: effect.agreed } }), () => ({
        type: 'recorded',
      }));
    case 'retired':
      return answered(rules.report(rows, { ...at, what: { kind: 'retired', version: effect.version } }), () => ({
        type: 'recorded',
      }));
    case 'promote': {
      const promote = rules.promote(rows, { ...at, version: effect.version, secretsRev: world.rev });
      const next = answered(promote, ({ kind }) => ({ type: kind }));
      if (
        next.event.type !== 'promoted' ||
        (promote.ok && promote.answer.kind === 'promoted' && promote.answer.again)
      ) {
        return next;
      }
      if (world.isEdited) throw new Broken('R9 an edit was overwritten');
      return { ...next, world: { ...next.world, rev: world.rev + 1, promotions: world.promotions + 1 } };
    }
    case 'wait':
      return answered(rules.wait(rows, { ...at, inMs: 0, why: effect.why }, 0), () => ({ type: 'recorded' }));
    case 'finish':
      return answered(rules.finish(rows, { ...at, outcome: effect.outcome, why: effect.why }), () => ({
        type: 'recorded',
      }));
    default:
      throw new Error(`${effect.do} is no call`);
  }
}
