import { PamError } from '@sallyport/protocol';
import { createRouterLog, type LogFormat, type LogLevel } from './program/router-log.ts';
import type { RouterSettings, RunningRouter } from './router-settings.ts';
import { startRouter as start } from './start-router.ts';
import type { PoolTiming } from './pool/index.ts';

export type { RunningRouter } from './router-settings.ts';

/** What a program that embeds the router may set; for the rest see `pam-router start --help`. */
export interface StartOptions {
  readonly dataDir: string;
  /** 127.0.0.1 by default. */
  readonly listen?: string;
  /** Any free port by default. */
  readonly port?: number;
  readonly publicName?: string;
  readonly databaseUrl?: string;
  /** Nowhere by default. */
  readonly metricsListen?: { readonly host: string; readonly port: number };
  /** Addresses and CIDRs of balancers that speak the PROXY protocol; none by default. */
  readonly balancers?: readonly string[];
  /** Nobody is told by default. */
  readonly alerts?: RouterSettings['alerts'];
  readonly timing?: Partial<PoolTiming>;
  /** Takes the wall clock as it is, whatever an earlier router noted. */
  readonly acceptClock?: boolean;
  /** Silent by default. */
  readonly log?: { readonly level: LogLevel; readonly format: LogFormat; readonly write: (line: string) => void };
  readonly onFatal?: (error: PamError) => void;
}

/** Starts a router in this process. @throws PamError as `pam-router start` does */
export function startRouter(options: StartOptions): Promise<RunningRouter> {
  const log = options.log ?? { level: 'silent', format: 'json', write: () => undefined };
  return start({
    dataDir: options.dataDir,
    listen: options.listen ?? '127.0.0.1',
    port: options.port ?? 0,
    publicName: options.publicName ?? null,
    databaseUrl: options.databaseUrl ?? null,
    alerts: options.alerts ?? null,
    metricsListen: options.metricsListen ?? null,
    balancers: options.balancers ?? [],
    relay: null,
    storeWorker: null,
    timing: options.timing ?? {},
    acceptClock: options.acceptClock ?? false,
    log: createRouterLog(log.level, log.format, log.write),
    onFatal:
      options.onFatal ??
      ((error) => {
        throw error;
      }),
  });
}
