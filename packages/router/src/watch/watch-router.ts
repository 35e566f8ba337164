import { type PamError, productVersion } from '@sallyport/protocol';
import type { AuditTrail, EventBody } from '../audit/index.ts';
import type { Clock } from '../clock.ts';
import type { PoolService } from '../pool/index.ts';
import type { RotationService } from '../rotation/index.ts';
import type { Carriers, Relay } from '../relay/index.ts';
import type { SessionService } from '../session/index.ts';
import type { TrustStore } from '../trust/index.ts';
import { type NotReady, type ReadinessFacts, reasonsNotReady } from './readiness.ts';
import { createRouterFigures, type RouterFigures } from './router-figures.ts';
import { systemUsage, type Usage } from './system-usage.ts';
import { serveWatch, type WatchPlace, type WatchServer } from './watch-server.ts';

/** The parts of a running router that are asked at each look. */
interface WatchedParts {
  readonly trustStore: TrustStore;
  readonly relay: Pick<Relay, 'totals'>;
  readonly carriers: Pick<Carriers, 'usage'>;
  readonly pool: Pick<PoolService, 'list'>;
  readonly links: { count(): number; strangers(): number };
  readonly sessions: Pick<SessionService, 'waiting'>;
  readonly rotation: Pick<RotationService, 'counts' | 'scheduler' | 'troubles'>;
  readonly audit: Pick<AuditTrail, 'waiting'>;
  readonly apiConnections: () => number;
}

/**
 * Watching of one router: figures counted from its start on, and the endpoints that show them, when asked for.
 *
 * Stages: starting (endpoints answer, not ready) → running (`begin`) → stopping (`stopping`) → closed.
 */
export interface RouterWatch {
  readonly figures: RouterFigures;
  /** Where the endpoints are; null when none were asked for. */
  readonly place: WatchPlace | null;
  begin(parts: WatchedParts): void;
  /** Hands on an event of the router's own. */
  heard(kind: string, body: EventBody): void;
  /** Who else wants them; one at most. */
  listen(to: (kind: string, body: EventBody) => void): void;
  stopping(): void;
  close(): Promise<void>;
}

const askWithinMs = 1_000;

export async function openWatch(deps: {
  readonly listen: WatchPlace | null;
  readonly clock: Clock;
  readonly failed: (error: unknown) => void;
}): Promise<RouterWatch> {
  const { clock } = deps;
  const figures = createRouterFigures();
  let phase: ReadinessFacts['phase'] = 'starting';
  let parts: WatchedParts | null = null;
  let listener: (kind: string, body: EventBody) => void = () => undefined;
  const usage: Usage | null = deps.listen === null ? null : systemUsage();

  /** A store that hangs is asked once, however many ask us. */
  const storeAnswers = shared(async () => {
    if (parts === null) return false;
    const asked = parts.trustStore.headOfLog({}).then(
      () => true,
      () => false,
    );
    return within(asked, askWithinMs, false, clock);
  });
  const relayTotals = shared(async () => parts?.relay.totals(askWithinMs) ?? null);

  const carrierUsage = async (): ReturnType<Carriers['usage']> => parts?.carriers.usage(askWithinMs) ?? 'none';

  async function look(): Promise<{ reasons: readonly NotReady[]; relay: Awaited<ReturnType<typeof relayTotals>> }> {
    // One that stops shows its figures to the end.
    const [answers, relay] = await Promise.all([storeAnswers(), relayTotals()]);
    const descriptors = usage?.descriptors() ?? null;
    return { relay, reasons: reasonsNotReady({ phase, storeAnswers: answers, relay, descriptors }) };
  }

  async function text(own: Usage): Promise<string> {
    const [{ reasons, relay }, carriers] = await Promise.all([look(), carrierUsage()]);
    return figures.text({
      usage: own,
      reasons,
      relay,
      carriers,
      pools: parts?.pool.list() ?? [],
      links: { members: parts?.links.count() ?? 0, strangers: parts?.links.strangers() ?? 0 },
      apiConnections: parts?.apiConnections() ?? 0,
      jobs: parts?.rotation.counts() ?? [],
      troubles: parts?.rotation.troubles() ?? [],
      schedulesStopped: parts !== null && parts.rotation.scheduler().stopped !== null,
      waiting: { audit: parts?.audit.waiting() ?? 0, streams: parts?.sessions.waiting() ?? 0 },
    });
  }

  let server: WatchServer | null = null;
  if (deps.listen !== null && usage !== null) {
    const answers = {
      version: productVersion,
      reasons: async () => (await look()).reasons,
      metrics: shared(() => text(usage)),
    };
    server = await serveWatch(deps.listen, answers, deps.failed);
  }
  return {
    figures,
    place: server,
    heard: (kind, body) => listener(kind, body),
    listen: (to) => {
      listener = to;
    },
    begin: (running) => {
      parts = running;
      phase = 'running';
    },
    stopping: () => {
      phase = 'stopping';
    },
    close: async () => {
      usage?.close();
      await server?.close();
    },
  };
}

/** One call at a time: who asks meanwhile gets the same answer. */
function shared<T>(call: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | null = null;
  return () => {
    running ??= call().finally(() => {
      running = null;
    });
    return running;
  };
}

async function within<T>(work: Promise<T>, ms: number, late: T, clock: Clock): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<T>();
  const cancel = clock.after(ms, () => resolve(late));
  try {
    return await Promise.race([work, promise]);
  } finally {
    cancel();
  }
}

/** The audit trail, with the router's own events counted. */
export function watchAudit(audit: AuditTrail, watch: Pick<RouterWatch, 'figures' | 'heard'>): AuditTrail {
  return {
    ...audit,
    later: (kind, body) => {
      watch.figures.event(kind, body);
      watch.heard(kind, body);
      audit.later(kind, body);
    },
  };
}

/** The pool as dispatch sees it, with its turns counted. */
export function watchPool(pool: PoolService, figures: RouterFigures): PoolService {
  return {
    ...pool,
    route: (request) => {
      const turn = pool.route(request);
      figures.picked(request.cause, turn.picked !== null);
      return turn;
    },
    hedged: (gateway, instance, epoch) => {
      figures.unanswered();
      pool.hedged(gateway, instance, epoch);
    },
  };
}

/** Sessions, with the time until a stream is placed. */
export function watchSessions(sessions: SessionService, figures: RouterFigures, clock: Clock): SessionService {
  return {
    ...sessions,
    route: async (order) => {
      const fromMs = clock.monotonicMs();
      const placed = await sessions.route(order).catch((reason: PamError) => {
        figures.placed(reason, clock.monotonicMs() - fromMs);
        throw reason;
      });
      figures.placed(null, clock.monotonicMs() - fromMs);
      return placed;
    },
  };
}
