import type { KindSession } from '@sallyport/rotation';
import type { Runtime } from '../../agent/index.ts';

/** An administrator's session that a job is through with, and where it leads. */
export interface KeptSession {
  readonly session: KindSession;
  /** Address of the target's server that was dialled. */
  readonly address: string;
  /** When its connection was made, monotonic ms. */
  readonly bornMs: number;
  /** Jobs that had it. */
  readonly uses: number;
}

/**
 * Sessions between two jobs: the next one that would log in to the same place with the same credential takes one over in place of
 * a login.
 *
 * K1 one is in one hand at a time: `take` gives it away, and only its last holder gives it back.
 * K2 none is older than `ageMs` or has had more than `uses` jobs when it is given away; none lies here longer than `idleMs`.
 */
export interface KeptSessions {
  take(place: string): KeptSession | null;
  give(place: string, kept: KeptSession): void;
  /** Closes what lies here, and whatever comes. */
  stop(): void;
}

export interface KeepLimits {
  readonly ageMs: number;
  readonly idleMs: number;
  readonly uses: number;
  /** In all. */
  readonly most: number;
}

/** An administrator who was locked out or a record that was changed is noticed by the next login, within a minute. */
export const keepLimits: KeepLimits = { ageMs: 60_000, idleMs: 2_000, uses: 100, most: 32 };

interface Lying extends KeptSession {
  readonly place: string;
  readonly cancel: () => void;
}

export function createKeptSessions(
  runtime: Pick<Runtime, 'monotonicMs' | 'schedule'>,
  limits: KeepLimits,
  failed: (error: unknown) => void,
): KeptSessions {
  const lying = new Set<Lying>();
  let isStopped = false;
  const close = ({ session }: KeptSession): void => void session.close().catch(failed);
  const drop = (one: Lying): void => {
    if (!lying.delete(one)) return;
    one.cancel();
    close(one);
  };
  const isGood = ({ bornMs, uses }: KeptSession): boolean =>
    uses < limits.uses && runtime.monotonicMs() - bornMs < limits.ageMs;

  return {
    take: (place) => {
      for (const one of [...lying].toReversed()) {
        if (one.place !== place) continue;
        if (isGood(one)) {
          lying.delete(one);
          one.cancel();
          const { session, address, bornMs, uses } = one;
          return { session, address, bornMs, uses };
        }
        drop(one);
      }
      return null;
    },
    give: (place, kept) => {
      if (isStopped || lying.size >= limits.most || !isGood(kept)) return close(kept);
      const one: Lying = { ...kept, place, cancel: runtime.schedule(limits.idleMs, () => drop(one)) };
      lying.add(one);
    },
    stop: () => {
      isStopped = true;
      for (const one of [...lying]) drop(one);
    },
  };
}
