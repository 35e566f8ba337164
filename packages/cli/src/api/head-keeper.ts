import { type Head, PamError } from '@sallyport/protocol';
import { verifyHead } from '@sallyport/seal';
import { type Memory, newsIn, type Sighting, withNews } from '../profile/memory.ts';
import type { Profile, ProfileStore } from '../profile/profile-store.ts';
import type { Clock } from '../time/clock.ts';
import { auditHeadHeader, checkAuditHead, compareLogHead, logHeadHeader, parseLogHead } from './heads.ts';
import type { LogGiver } from './give-back-log.ts';
import type { WatchHeads } from './router-client.ts';

/**
 * Compares what every reply says about the router's two logs with what was known when its request left, and remembers it.
 *
 * H1 a reply is never taken before its heads were compared and are known to this process.
 * H2 nor before they are in the profile, unless `writeBehind` was called: then they are there within a second, or after
 *    `flush`, and what a kill loses is a second of what one process saw. A caller that gathers what a reply brings writes
 *    them with the rest before anybody relies on it.
 * H3 heads that could not be written are an error of a reply or of `flush`, and are tried again.
 */
export interface HeadKeeper {
  readonly watch: WatchHeads;
  /** For a command that lives on (a tunnel): it sees a new head with each connection, and two fsyncs each are too many. */
  writeBehind(): void;
  /** Resolves when everything seen is in the profile. */
  flush(): Promise<void>;
}

export interface HeadKeeperDeps {
  readonly store: Pick<ProfileStore, 'readMemory' | 'remember'>;
  readonly pins: Profile['pins'];
  readonly clock: Pick<Clock, 'after'>;
  /** Gives back what the router lost; without one a shorter log is an error at once. */
  readonly giver?: LogGiver;
}

const writeWithinMs = 1_000;

/** The memory as this process has it, with heads it saw. */
const knowing = (memory: Memory, auditHeads: AuditHeads): Memory =>
  withNews(memory, newsIn(memory, { auditHeads }) ?? {});

type AuditHeads = NonNullable<Sighting['auditHeads']>;

export async function keepHeads(deps: HeadKeeperDeps): Promise<HeadKeeper> {
  const { store, pins, clock, giver } = deps;
  let known = await store.readMemory();
  /** Newest head of each start that is not known to be in the profile. */
  const unwritten = new Map<string, AuditHeads[string]>();
  let writing: Promise<void> | null = null;
  let cancelTimer: (() => void) | null = null;
  let failure: PamError | null = null;
  let isBehind = false;

  const writeAll = async (): Promise<void> => {
    while (unwritten.size > 0) {
      const batch = [...unwritten];
      unwritten.clear();
      try {
        known = knowing(await store.remember({ auditHeads: Object.fromEntries(batch) }), Object.fromEntries(unwritten));
      } catch (reason) {
        for (const [start, seen] of batch) if (!unwritten.has(start)) unwritten.set(start, seen);
        throw reason;
      }
    }
  };
  const write = async (): Promise<void> => {
    writing ??= writeAll().finally(() => {
      writing = null;
    });
    return writing;
  };
  const writeSoon = (): void => {
    cancelTimer ??= clock.after(
      writeWithinMs,
      () => {
        cancelTimer = null;
        write().catch((reason: unknown) => {
          failure = PamError.from(reason, 'PAM_INTERNAL', 'what was seen of the logs could not be written');
        });
      },
      { idle: true },
    );
  };

  const checkLogHead = async (known: Head | null, shown: Head, asked: number): Promise<void> => {
    if (giver === undefined || known === null || shown.n >= known.n) return void compareLogHead(known, shown);
    await giver.giveBack(shown, known, asked);
  };

  const take = async (
    before: Memory,
    headers: Readonly<Record<string, string>>,
    asked: number,
    gathered: Sighting[] | undefined,
  ): Promise<void> => {
    const shown = parseLogHead(headers[logHeadHeader]);
    if (shown !== null) await checkLogHead(before.logHead, shown, asked);
    const jws = headers[auditHeadHeader];
    if (jws === undefined || jws === '') return;
    const head = await verifyHead(jws, pins);
    checkAuditHead(before.auditHeads, head);
    const latest = known.auditHeads[String(head.start)];
    if (latest !== undefined && latest.seq >= head.seq) return;
    const seen = { seq: head.seq, hash: head.hash, jws };
    known = knowing(known, { [String(head.start)]: seen });
    unwritten.set(String(head.start), seen);
    if (gathered !== undefined) {
      gathered.push({ auditHeads: { [String(head.start)]: seen } });
      return;
    }
    if (!isBehind) return write();
    writeSoon();
    if (failure === null) return;
    const error = failure;
    failure = null;
    throw error;
  };

  return {
    watch: (gathered) => {
      const before = known;
      const asked = giver?.times() ?? 0;
      return async (headers) => take(before, headers, asked, gathered);
    },
    writeBehind: () => {
      isBehind = true;
    },
    flush: async () => {
      cancelTimer?.();
      cancelTimer = null;
      await write();
    },
  };
}
