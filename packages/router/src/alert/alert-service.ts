import { randomUUID } from 'node:crypto';
import { type AlertKind, type AlertMessage, alertSeverities } from '@sallyport/protocol';
import type { Clock } from '../clock.ts';
import { type Condition, keyOf, type Telling } from './alert.ts';
import { type AlertKeeper, type AlertMemory, readAlertMemory } from './alert-memory.ts';
import { conditionsOf, isThere, type WatchedPool } from './conditions.ts';
import { postWebhook } from './post-webhook.ts';
import { signMessage } from './sign-message.ts';
import { type AlertRules, firingIn, type Look, newAlertState, stepAlerts } from './step-alerts.ts';
import { newOutbox, type OutboxEvent, stepOutbox } from './step-outbox.ts';

/** The operator's endpoint. The URL of many services is itself a secret: it is shown and logged nowhere. */
export interface AlertEndpoint {
  readonly url: URL;
  /** Shared with the receiver; null = messages are not signed. */
  readonly secret: Uint8Array | null;
  readonly kinds: ReadonlySet<AlertKind>;
}

export interface AlertServiceDeps {
  readonly endpoint: AlertEndpoint;
  readonly rules: AlertRules;
  /** Pin of this router. */
  readonly router: string;
  readonly version: string;
  readonly pools: () => readonly WatchedPool[];
  readonly attention: () => readonly Condition[];
  readonly keeper: AlertKeeper;
  readonly clock: Clock;
  readonly random: () => number;
  readonly sent: (outcome: 'delivered' | 'failed' | 'dropped') => void;
  readonly log: (level: 'info' | 'warn', message: string, fields: Readonly<Record<string, string | number>>) => void;
}

export interface AlertService {
  start(): void;
  /** Remembers what fires and what waits; the request that is out is left alone and counts as not delivered. */
  stop(): void;
}

const lookEveryMs = 1_000;
const postWithinMs = 10_000;

/** The edge of alerts: looks every second, tells the endpoint, remembers. Costs nobody else anything, whatever it does. */
export function createAlertService(deps: AlertServiceDeps): AlertService {
  const { clock, rules, endpoint } = deps;
  const memory = remembered(deps);
  let alerts = newAlertState(clock.monotonicMs(), memory.firing);
  let box = newOutbox(memory.waiting);
  let kept = JSON.stringify(memory);
  let stopLooking: (() => void) | null = null;
  let saidFailing = false;

  function look(): void {
    const pools = deps.pools();
    const conditions = [...conditionsOf(pools), ...deps.attention()].filter(({ kind }) => endpoint.kinds.has(kind));
    const seen: Look = {
      conditions,
      isThere: (condition) => isThere(pools, condition),
      monotonicMs: clock.monotonicMs(),
      nowMs: clock.nowMs(),
    };
    const { state, tell } = stepAlerts(alerts, seen, rules);
    alerts = state;
    for (const each of tell) {
      const { status, condition } = each;
      deps.log(status === 'resolved' ? 'info' : 'warn', `alert ${status}`, { key: keyOf(condition) });
      feed({ kind: 'add', message: messageOf(each, deps.router) });
    }
    feed({ kind: 'tick' });
    keep();
  }

  function keep(): void {
    const text = JSON.stringify({ v: 1, firing: firingIn(alerts), waiting: box.waiting } satisfies AlertMemory);
    if (text === kept) return;
    kept = text;
    try {
      deps.keeper.write(text);
    } catch (reason) {
      deps.log('warn', 'alerts cannot be remembered', { error: String(reason) });
    }
  }

  function feed(event: OutboxEvent): void {
    const step = stepOutbox(box, event, { nowMs: clock.monotonicMs(), random: deps.random() });
    box = step.box;
    for (const effect of step.effects) {
      if (effect.kind === 'dropped') deps.sent('dropped');
      else void post(effect.message, effect.attempt);
    }
  }

  async function post(message: AlertMessage, attempt: number): Promise<void> {
    const body = JSON.stringify(message);
    const seconds = Math.floor(clock.nowMs() / 1_000);
    const { secret } = endpoint;
    const outcome = await postWebhook({
      url: endpoint.url,
      body,
      headers: {
        'user-agent': `sallyport-router/${deps.version}`,
        'sallyport-delivery': message.delivery,
        'sallyport-attempt': String(attempt),
        ...(secret === null ? {} : { 'sallyport-signature': signMessage(body, secret, seconds) }),
      },
      withinMs: postWithinMs,
      after: clock.after,
    });
    if (stopLooking === null) return;
    deps.sent(outcome.kind);
    if (outcome.kind === 'failed' && !saidFailing) {
      deps.log('warn', 'the alert webhook does not take messages, trying until it does', { why: outcome.why });
    }
    saidFailing = outcome.kind === 'failed';
    feed(outcome);
    keep();
  }

  return {
    start: () => {
      stopLooking = clock.every(lookEveryMs, look);
    },
    stop: () => {
      stopLooking?.();
      stopLooking = null;
      keep();
    },
  };
}

function remembered(deps: AlertServiceDeps): AlertMemory {
  try {
    return readAlertMemory(deps.keeper);
  } catch (reason) {
    deps.log('warn', 'what was remembered of alerts cannot be read; they begin anew', { error: String(reason) });
    return { v: 1, firing: [], waiting: [] };
  }
}

function messageOf(telling: Telling, router: string): AlertMessage {
  const { condition, resolvedAtMs } = telling;
  const iso = (ms: number): string => new Date(ms).toISOString();
  return {
    v: 1,
    event: 'alert',
    delivery: randomUUID(),
    status: telling.status,
    key: keyOf(condition),
    severity: alertSeverities[condition.kind],
    router,
    ...condition,
    since: iso(telling.sinceAtMs),
    firedAt: iso(telling.firedAtMs),
    resolvedAt: resolvedAtMs === null ? null : iso(resolvedAtMs),
    resolution: telling.resolution,
  };
}
