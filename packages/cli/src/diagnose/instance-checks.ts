import { type InstanceId, type InstanceView, PamError } from '@sallyport/protocol';
import type { AttemptStep, TunnelSession } from '../tunnel/tunnel-session.ts';
import type { Clock } from '../time/clock.ts';
import { type Check, type Checklist, failedCheck } from './check.ts';

/** The router takes at most this many instances to pass over. */
const mostInstances = 16;

type Stage = 'dispatch' | AttemptStep['kind'] | 'target';
const stageWords: Readonly<Record<Stage, string>> = {
  dispatch: 'dispatch',
  dispatched: 'data connection',
  leg: 'end-to-end TLS',
  handshake: 'first word of the instance',
  ready: 'request',
  dialing: 'target',
  target: 'target',
};

/**
 * Sends one stream through every instance that may take one, as far as the target's answer, and forgets it: nothing of
 * the user's is sent, and the instance resets its connection to the target at once.
 *
 * @returns the instances that were tried.
 */
export async function checkInstances(
  list: Checklist,
  deps: {
    readonly clock: Clock;
    readonly life: AbortSignal;
    readonly title: (instance: InstanceId) => string;
    /** Ids of members the router calls ready: once all were tried, nobody else is asked for. */
    readonly ready: readonly string[];
  },
  session: Pick<TunnelSession, 'attempt'>,
): Promise<readonly InstanceId[]> {
  const tried: InstanceId[] = [];
  const isLeft = () => tried.length === 0 || deps.ready.some((id) => !tried.some((one) => one === id));
  while (isLeft() && tried.length < mostInstances && !deps.life.aborted) {
    const outcome = await tryOne(deps, session, tried);
    if (outcome.instance === null) {
      const isEnd = outcome.error?.code === 'PAM_POOL_NO_READY_INSTANCE' && tried.length > 0;
      if (!isEnd) list.add(failedCheck('dispatch', 'dispatch', outcome.error, outcome.tookMs));
      return tried;
    }
    if (tried.includes(outcome.instance)) return tried;
    tried.push(outcome.instance);
    list.add(checkOf(outcome.instance, deps.title(outcome.instance), outcome));
  }
  return tried;
}

type Member = Pick<InstanceView, 'instanceId' | 'deviceName' | 'state' | 'reason'>;

/** Members that could not be tried, with what the router shows of them. */
export function addUntried(list: Checklist, members: readonly Member[], tried: readonly string[]): void {
  for (const member of members) {
    if (tried.includes(member.instanceId)) continue;
    const isBad = member.state !== 'standby' && member.state !== 'joining';
    list.add({
      id: `instance ${member.instanceId}`,
      title: `instance ${member.instanceId} (${member.deviceName})`,
      status: isBad ? 'warning' : 'ok',
      text: `not tried: ${member.state}${member.reason === '' ? '' : `, ${member.reason}`}`,
      tookMs: 0,
      code: null,
      remedy: isBad ? 'Look at its host and its log; start a replacement if it does not come back.' : null,
    });
  }
}

interface Outcome {
  readonly instance: InstanceId | null;
  readonly stage: Stage;
  /** Milliseconds of each stage that was passed. */
  readonly times: readonly string[];
  readonly tookMs: number;
  readonly error: PamError | null;
}

async function tryOne(
  deps: { readonly clock: Clock; readonly life: AbortSignal },
  session: Pick<TunnelSession, 'attempt'>,
  tried: readonly InstanceId[],
): Promise<Outcome> {
  const { clock } = deps;
  const sinceMs = clock.monotonicMs();
  let lastMs = sinceMs;
  let stage: Stage = 'dispatch';
  let instance: InstanceId | null = null;
  const times: string[] = [];
  const passed = (next: Stage) => {
    const nowMs = clock.monotonicMs();
    if (stage !== next) times.push(`${stageWords[stage]} ${Math.round(nowMs - lastMs)} ms`);
    lastMs = nowMs;
    stage = next;
  };
  const outcome = (error: PamError | null): Outcome => ({
    ...{ instance, stage, times, error },
    tookMs: Math.round(clock.monotonicMs() - sinceMs),
  });
  try {
    const result = await session.attempt(
      tried,
      (step) => {
        if (step.kind === 'dispatched') instance = step.instance;
        passed(step.kind);
      },
      deps.life,
    );
    if (result.kind === 'refused') return outcome(result.error);
    result.stream.forget();
    passed('target');
    return outcome(null);
  } catch (reason) {
    return outcome(PamError.from(reason, 'PAM_INTERNAL', reason instanceof Error ? reason.message : 'it failed'));
  }
}

function checkOf(instance: InstanceId, title: string, outcome: Outcome): Check {
  const id = `instance ${instance}`;
  if (outcome.error !== null) {
    const failed = failedCheck(id, title, outcome.error, outcome.tookMs);
    return { ...failed, text: `${stageWords[outcome.stage]}: ${failed.text}` };
  }
  const text = `the target answers (${outcome.times.join(', ')})`;
  return { id, title, status: 'ok', text, tookMs: outcome.tookMs, code: null, remedy: null };
}
