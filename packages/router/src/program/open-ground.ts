import { PamError, productVersion } from '@sallyport/protocol';
import { type AuditTrail, createAuditTrail } from '../audit/index.ts';
import type { Clock } from '../clock.ts';
import { createOpaqueServer, loadRouterIdentity, type OpaqueServer, type RouterIdentity } from '../identity/index.ts';
import { type PoolTiming, poolTiming } from '../pool/index.ts';
import type { MarkHolder } from '../http/restore-desk.ts';
import type { RouterSettings } from '../router-settings.ts';
import { openStore, type Store } from '../store/index.ts';
import { systemClock } from '../system-clock.ts';
import { openTrustLog, readRestoreMark, refusalOfNew, restoreSettings, type TrustLog } from '../trust/index.ts';
import { openWatch, type RouterWatch, watchAudit } from '../watch/index.ts';
import type { Closing } from './closing.ts';

/** What everything else of a router stands on. */
export interface Ground {
  readonly clock: Clock;
  readonly timing: PoolTiming;
  readonly watch: RouterWatch;
  readonly store: Store;
  readonly identity: RouterIdentity;
  readonly opaque: OpaqueServer;
  readonly trust: TrustLog;
  readonly restoreMark: MarkHolder;
  readonly audit: AuditTrail;
  /** Logs what went wrong in the background. */
  readonly failed: (what: string) => (error: unknown) => void;
}

/** Opens store, identity and trust log, in this order, and notes the start in the audit log. */
export async function openGround(settings: RouterSettings, closing: Closing): Promise<Ground> {
  const { log } = settings;
  const timing = poolTiming(settings.timing);
  const clock = systemClock();
  const failed =
    (what: string) =>
    (error: unknown): void =>
      log.error(what, { error: String(error), code: error instanceof PamError ? error.code : 'PAM_INTERNAL' });

  const watch = await openWatch({ listen: settings.metricsListen, clock, failed: failed('metrics cannot be served') });
  closing.add(() => watch.close());

  const place = settings.databaseUrl === null ? { dataDir: settings.dataDir } : { databaseUrl: settings.databaseUrl };
  const store = await openStore(place, {
    nowMs: clock.nowMs,
    monotonicMs: clock.monotonicMs,
    onRan: watch.figures.ran,
    onFatal: settings.onFatal,
    onTrouble: failed('the database connection was lost'),
    worker: settings.storeWorker,
  });
  closing.add(() => store.close());

  const name = settings.publicName ?? settings.listen;
  const identity = await loadRouterIdentity(store.identity, [name.replace(/:\d+$/, '')], clock.nowMs());
  const opaque = await createOpaqueServer(store.identity);
  let mark = readRestoreMark(await store.identity.readSetting({ key: restoreSettings.mark }));
  const restoreMark: MarkHolder = {
    now: () => mark,
    set: (next) => {
      mark = next;
    },
  };
  const trust = await openTrustLog(store.trust, () => refusalOfNew(mark));
  const audit = watchAudit(
    createAuditTrail({
      store: store.audit,
      router: identity.pin,
      start: identity.start,
      key: identity.key,
      nowMs: clock.nowMs,
      after: clock.after,
      failed: failed('the audit log cannot be written'),
    }),
    watch,
  );
  const started = audit.event('router.started', { version: productVersion, incarnation: store.incarnation });
  audit.moved(await store.audit.appendEvents(audit.note(started)));
  closing.add(() => audit.flush());
  return { clock, timing, watch, store, identity, opaque, trust, restoreMark, audit, failed };
}
