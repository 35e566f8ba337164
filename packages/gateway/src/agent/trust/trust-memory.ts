import { type ApplicationUid, type GatewayUid, type Head, type LinkResult, PamError } from '@sallyport/protocol';
import { checkFloor, checkHead, createLog, foldLog, type LogState } from '@sallyport/seal';

/** Where verified entries are kept between runs. */
export interface TrustStore {
  /** Compact entries in order; empty at first. */
  read(): Promise<readonly string[]>;
  /** Resolves when they survive a power cut. */
  append(entries: readonly string[]): Promise<void>;
}
export interface TrustSettings {
  readonly anchor: string;
  readonly floor: Head;
  readonly gateway: GatewayUid;
  readonly app: ApplicationUid;
  /** RFC 7638 thumbprint of the pool's signing key in the join configuration. */
  readonly poolKeyId: string;
}
/** One page of the router's log from entry `from` on. */
export type ReadLog = (from: number) => Promise<LinkResult<'log.read'>>;

/**
 * The trust log as this instance verified it.
 *
 * T1 an entry counts only after it was verified and kept.
 * T2 what was seen once stays: a shorter or forked log is refused, before and after a restart.
 * T3 at most one catch-up runs; those who ask meanwhile share the next one: what they heard of may be newer than the page
 *    that was read for this one.
 *
 * @see architecture section 3, "Trust log"
 */
export interface TrustMemory {
  log(): LogState;
  /** The entries it was folded from, as they were kept. */
  entries(): Promise<readonly string[]>;
  /** Highest entry known: of the log, or the configuration's floor before any was read. */
  knownHead(): Head;
  /**
   * Fetches and verifies what the router has more; then this gateway must stand in the log with our keys.
   *
   * @throws PAM_TRUST_SHORTENED, _FORKED, _ANCHOR, _ENTRY_INVALID, _BEHIND; PAM_GATEWAY_REMOVED.
   */
  catchUp(read: ReadLog): Promise<LogState>;
}

export async function openTrustMemory(settings: TrustSettings, store: TrustStore): Promise<TrustMemory> {
  let log = await foldLog(createLog(settings.anchor), await store.read());
  let running: Promise<LogState> | null = null;
  let next: Promise<LogState> | null = null;

  async function fetchMore(read: ReadLog): Promise<LogState> {
    for (;;) {
      const page = await read(log.head.n + 1);
      const next = await foldLog(log, page.entries);
      if (page.head.n < log.head.n) throw shortened(page.head.n, log.head.n);
      if (page.head.n <= next.head.n) checkHead(next, page.head);
      else if (next.head.n === log.head.n)
        throw new PamError(
          'PAM_TRUST_BEHIND',
          `the router names entry ${page.head.n} of the trust log but does not show it`,
        );
      const fresh = page.entries.slice(-(next.head.n - log.head.n));
      if (page.head.n <= next.head.n) checkFloor(next, settings.floor);
      if (next.head.n > log.head.n) await store.append(fresh);
      log = next;
      if (page.head.n <= log.head.n) break;
    }
    checkGateway(log, settings);
    return log;
  }

  function begin(read: ReadLog): Promise<LogState> {
    running = fetchMore(read).finally(() => {
      running = null;
    });
    return running;
  }

  function beginNext(after: Promise<LogState>, read: ReadLog): Promise<LogState> {
    const beginNow = (): Promise<LogState> => {
      next = null;
      return begin(read);
    };
    return after.then(beginNow, beginNow);
  }

  return {
    log: () => log,
    entries: () => store.read(),
    knownHead: () => (log.head.n < settings.floor.n ? settings.floor : log.head),
    catchUp: (read) => {
      if (next !== null) return next;
      if (running === null) return begin(read);
      next = beginNext(running, read);
      return next;
    },
  };
}

function shortened(shown: number, known: number): PamError {
  return new PamError(
    'PAM_TRUST_SHORTENED',
    `the router's trust log ends at entry ${shown}, entry ${known} was seen before`,
    {
      detail: { why: 'head', shown, known },
    },
  );
}

function checkGateway(log: LogState, settings: TrustSettings): void {
  const gateway = log.gateways.get(settings.gateway);
  const refuse = (why: string, message: string, remedy?: string): PamError =>
    new PamError('PAM_GATEWAY_REMOVED', message, {
      detail: { why, gateway: settings.gateway },
      ...(remedy === undefined ? {} : { remedy }),
    });
  if (gateway === undefined) throw refuse('unknown', 'the trust log does not name this gateway');
  if (gateway.removed) throw refuse('removed', 'this gateway was removed');
  if (gateway.signKeyId !== settings.poolKeyId) {
    throw refuse(
      'keys',
      'the keys of this gateway were replaced: this configuration is void',
      'Start the instance with the configuration that pam gateway rekey printed.',
    );
  }
  if (gateway.app !== settings.app) throw refuse('app', 'this gateway belongs to another application');
}
