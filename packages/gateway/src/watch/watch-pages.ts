import { metricsContentType } from '@sallyport/protocol';
import type { AgentStatus } from '../agent/index.ts';
import type { InstanceFigures } from './instance-figures.ts';
import { reasonsNotReady } from './readiness.ts';
import { systemUsage, type Usage } from './system-usage.ts';

/** One answer over HTTP. */
export interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}
/** The watching pages of an instance; null for a path that is none of them. */
interface WatchPages {
  page(target: string): Page | null;
  close(): void;
}

interface WatchPagesDeps {
  readonly version: string;
  readonly maxStreams: number;
  readonly figures: InstanceFigures;
  readonly status: () => AgentStatus;
  readonly streams: () => number;
  readonly intent: () => Parameters<typeof reasonsNotReady>[1];
}

function json(status: number, body: unknown): Page {
  return { status, type: 'application/json', body: `${JSON.stringify(body)}\n` };
}

/** `/livez`, `/readyz` (`?standby=ok`: a standby counts as ready) and `/metrics` of one instance. */
export function createWatchPages(deps: WatchPagesDeps): WatchPages {
  const usage: Usage = systemUsage();
  const reasons = (standbyIsOk: boolean): ReturnType<typeof reasonsNotReady> =>
    reasonsNotReady(deps.status(), deps.intent(), standbyIsOk);
  return {
    page: (target) => {
      const [path, query = ''] = target.split('?');
      switch (path) {
        case '/livez':
          return json(200, { live: true, version: deps.version });
        case '/readyz': {
          const why = reasons(new URLSearchParams(query).get('standby') === 'ok');
          return json(why.length === 0 ? 200 : 503, { ready: why.length === 0, reasons: why });
        }
        case '/metrics': {
          const { figures, maxStreams } = deps;
          const now = { status: deps.status(), streams: deps.streams(), maxStreams, reasons: reasons(false), usage };
          return { status: 200, type: metricsContentType, body: figures.text(now) };
        }
        default:
          return null;
      }
    },
    close: () => usage.close(),
  };
}
