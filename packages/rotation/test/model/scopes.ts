import { type Fence, fences, type RunSettings } from '../../src/index.ts';
import { explore } from './explore.ts';
import type { Model } from './moves.ts';
import { production, type Rules } from './rules.ts';
import { type Left, settingsOf } from './world.ts';

const crashes = [1, 1];
const nothing = { timeouts: 0, policies: 0, answers: 0, probes: 0, edits: 0, aways: 0, retirements: 0 };
/** How often each thing may happen in one walk. */
export const bounds = {
  /** A target that does not let the old credential be removed, and the jobs that try again. */
  leftovers: { ...nothing, crashes: [1, 0], runs: 0, claims: 3, sends: 1, edits: 1, aways: 2, retirements: 2 },
  /** Two jobs, and somebody of the first who wakes in the second. */
  sleepers: { ...nothing, crashes: [0, 0], runs: 1, claims: 3, sends: 2, timeouts: 1 },
  /** What late writes of one candidate do to the next. */
  candidates: { ...nothing, crashes: [0, 0], runs: 0, claims: 1, sends: 4, timeouts: 2, policies: 1 },
  /** One job through every hand. */
  hands: { ...nothing, crashes, runs: 0, claims: 3, sends: 2, timeouts: 1, policies: 1 },
  /** Answers of the store that are lost, an edit, logins that say nothing. */
  doubts: { ...nothing, crashes: [1, 0], runs: 0, claims: 2, sends: 2, timeouts: 1, answers: 1, probes: 1, edits: 1 },
  /** Answers that are lost, and a rotation before or after a retirement. */
  retirements: { ...nothing, crashes: [0, 0], runs: 1, claims: 3, sends: 2, answers: 1, aways: 1, retirements: 1 },
  full: { ...nothing, crashes, runs: 1, claims: 3, sends: 3, timeouts: 1, policies: 1 },
} as const satisfies Record<string, Left>;

function modelOf(fence: Fence, by: RunSettings['by'] = 'admin', rules: Rules = production): Model {
  return { rules, fence, settings: settingsOf(fence, by) };
}

export const models: readonly { readonly name: string; readonly model: Model }[] = [
  ...fences.map((fence) => ({ name: fence, model: modelOf(fence) })),
  { name: 'compare, own', model: modelOf('compare', 'own') },
];

const { finish, permit, promote, report, stage, step, take } = production;

/** Speaks with the epoch that the job has now, whatever the caller's is. */
const unfenced: Pick<Rules, 'permit' | 'promote'> = {
  permit: (rows, request) => {
    const { holder, epoch } = rows.job;
    return permit(rows, { ...request, epoch: epoch ?? 0, instance: holder?.instance ?? request.instance });
  },
  promote: (rows, request) => promote(rows, { ...request, secretsRev: rows.job.base }),
};

/** One rule turned each; every one of them must be caught. */
const turned: readonly {
  readonly name: string;
  readonly fence: Fence;
  readonly rules: Partial<Rules>;
}[] = [
  {
    name: 'the target takes a lower number',
    fence: 'number',
    rules: { take: (target, write) => ({ ...target, opens: [write.version], took: write.send }) },
  },
  {
    name: 'a permit does not count up',
    fence: 'number',
    rules: {
      permit: (rows, request) => {
        const given = permit(rows, request);
        if (!given.ok) return given;
        const send = Math.max(1, rows.account.send);
        const sends = given.rows.job.sends.map((each) => (each.send === given.answer.send ? { ...each, send } : each));
        const { account, job } = given.rows;
        return {
          ...given,
          rows: { ...given.rows, account: { ...account, send }, job: { ...job, sends } },
          answer: { send },
        };
      },
    },
  },
  { name: 'a permit for an older epoch', fence: 'number', rules: { permit: unfenced.permit } },
  { name: 'promotes over an edit', fence: 'number', rules: { promote: unfenced.promote } },
  {
    name: 'a candidate is written before it is stored',
    fence: 'number',
    rules: {
      stage: (rows, request, nowMs) => {
        const given = stage(rows, request, nowMs);
        return given.ok ? { ...given, rows: { ...given.rows, versions: rows.versions } } : given;
      },
    },
  },
  {
    name: 'a refused candidate is removed',
    fence: 'number',
    rules: {
      report: (rows, request) => {
        const given = report(rows, request);
        if (!given.ok) return given;
        const versions = given.rows.versions.filter((version) => version.state !== 'refused');
        return { ...given, rows: { ...given.rows, versions } };
      },
    },
  },
  {
    name: 'a write without an answer counts as applied and verified',
    fence: 'number',
    rules: {
      step: (state, event) => {
        const isDoubt =
          event.type === 'probed' && state.effect?.do === 'probe' && state.effect.version === state.candidate;
        return step(state, isDoubt ? { type: 'probed', answer: 'opens' } : event);
      },
    },
  },
  {
    name: 'a run that may have written ends as failed',
    fence: 'number',
    rules: {
      finish: (rows, request) => {
        const isAsked = request.outcome === 'attention' && request.why !== 'record-edited';
        if (!isAsked) return finish(rows, request);
        const ended = finish({ ...rows, job: { ...rows.job, sends: [] } }, { ...request, outcome: 'failed' });
        return { ...ended, rows: { ...ended.rows, job: { ...ended.rows.job, sends: rows.job.sends } } };
      },
    },
  },
  {
    name: 'the change does not name the old password',
    fence: 'compare',
    rules: { take: (target, write) => take(target, write, 'none') },
  },
  {
    name: 'retires everything but its own key, however late',
    fence: 'additive',
    rules: { retire: (target, keep) => ({ ...target, opens: target.opens.filter((version) => version === keep) }) },
  },
  {
    name: 'retires everything else as long as its own key is there',
    fence: 'additive',
    rules: { retire: (target, keep) => (target.opens.includes(keep) ? { ...target, opens: [keep] } : target) },
  },
  {
    name: 'what could not be removed counts as removed',
    fence: 'additive',
    rules: {
      step: (state, event) =>
        step(state, state.effect?.do === 'retire' && event.type === 'not-connected' ? { type: 'retired' } : event),
    },
  },
  {
    name: 'an end forgets what is left over',
    fence: 'additive',
    rules: {
      finish: (rows, request) => {
        const ended = finish(rows, request);
        return { ...ended, rows: { ...ended.rows, account: { ...ended.rows.account, leftover: null } } };
      },
    },
  },
  {
    name: 'retires for a secret that nobody saw open',
    fence: 'additive',
    rules: {
      step: (state, event) =>
        step(state, state.view.kind === 'retire' && event.type === 'probed' ? { ...event, answer: 'opens' } : event),
    },
  },
  { name: 'evicts nobody', fence: 'evict', rules: { evicts: false } },
  { name: 'writes on a connection from after the permit', fence: 'evict', rules: { sameConnection: false } },
  {
    name: 'does not wait until an earlier write is past its limits',
    fence: 'none',
    rules: {
      step: (state, event) => {
        const next = step(state, event);
        const settles = next.effect?.do === 'pause' && next.effect.why === 'settling';
        return settles ? step(next.state, { type: 'resumed' }) : next;
      },
    },
  },
];

export const mutants = turned.map(({ name, fence, rules }) => ({
  name: `${fence}: ${name}`,
  model: modelOf(fence, 'admin', { ...production, ...rules }),
}));

/** What the first scope that finds it says; null: none does. */
export function catchMutant(model: Model, mostStates: number): string | null {
  for (const [scope, left] of Object.entries(bounds)) {
    if (scope === 'full') continue;
    const { broken, states } = explore(model, left, mostStates);
    if (broken !== null) return `${broken} (${scope}, ${states} states)`;
  }
  return null;
}
