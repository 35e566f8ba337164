import type { Worker } from 'node:worker_threads';
import type { PamError } from '@sallyport/protocol';
import type { AlertEndpoint, AlertTimes } from './alert/index.ts';
import type { PoolTiming } from './pool/index.ts';
import type { RouterLog } from './program/router-log.ts';
import type { EarlyRelay } from './relay/index.ts';
import type { WatchPlace } from './watch/index.ts';

export interface RouterSettings {
  /** Holds the embedded store, and on both engines router.json and setup-code.json. Made when absent, mode 0700. */
  readonly dataDir: string;
  /** Address to bind. */
  readonly listen: string;
  /** 0 = any free port. */
  readonly port: number;
  /** HOST:PORT under which others reach it; the bound address when null. */
  readonly publicName: string | null;
  /** postgres://…; null = SQLite in `dataDir`. */
  readonly databaseUrl: string | null;
  /** The operator's webhook and how it is told; null = nobody is told. */
  readonly alerts: { readonly endpoint: AlertEndpoint; readonly times: AlertTimes } | null;
  /** Where /livez, /readyz and /metrics are served, over plain HTTP; null = nowhere. */
  readonly metricsListen: WatchPlace | null;
  /** Addresses and CIDRs of balancers that speak the PROXY protocol. */
  readonly balancers: readonly string[];
  /** One that listens already; null: it is begun when all else is open. Closed with the router, or when it does not start. */
  readonly relay: EarlyRelay | null;
  /** A thread that waits for the embedded store's file; null: one is started. */
  readonly storeWorker: Worker | null;
  readonly timing: Partial<PoolTiming>;
  /** Somebody looked: the wall clock is right, whatever was noted before. */
  readonly acceptClock: boolean;
  readonly log: RouterLog;
  /** The router cannot go on: acknowledged state is on disk. Called at most once. */
  readonly onFatal: (error: PamError) => void;
}

export interface RunningRouter {
  readonly host: string;
  readonly port: number;
  /** HOST:PORT to be told to people. */
  readonly publicName: string;
  readonly pin: string;
  /** Null when the router has an owner. */
  readonly setupCode: string | null;
  readonly pid: number;
  readonly relayPid: number;
  /** Where the watching endpoints are; null when none were asked for. */
  readonly metrics: WatchPlace | null;
  /** Runs once, some seconds later, when those who waited for this router are served. */
  settled(then: () => void): void;
  /**
   * Takes nothing new (PAM_ROUTER_STOPPING) and waits until no stream runs through this router any more, `deadlineInMs`
   * at most. Control links stay: what ends is recorded. `stop` follows.
   */
  drain(deadlineInMs: number): Promise<void>;
  /** Stops accepting, ends links, writes what waits, closes the store. Idempotent. */
  stop(): Promise<void>;
}
