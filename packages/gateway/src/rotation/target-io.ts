import { PamError } from '@sallyport/protocol';
import type { KindIo } from '@sallyport/rotation';
import { type AddressPolicy, type DialDeps, dialTarget, type Runtime } from '../agent/index.ts';
import type { Endpoint } from './endpoint.ts';

/** What one job lets its target kind do, and what it learns of the server on the way. */
export interface TargetIo extends KindIo {
  /** The server's key if this job saw it first; null: it was known, or never shown. */
  firstSeen(): string | null;
  /** Address of the target's server that was dialled last. */
  dialled(): string | null;
  /** Nothing was dialled: a connection was taken over that leads to this address. */
  tookOver(address: string): void;
  /** From now on this address is dialled for the target: what was written there is looked for there. */
  note(address: string): void;
}

export function createTargetIo(
  place: Endpoint,
  deps: { readonly dial: DialDeps; readonly runtime: Runtime; readonly policy: AddressPolicy },
): TargetIo {
  const { target } = place;
  let known = place.identity;
  let seenFirst: string | null = null;
  let address: string | null = null;
  let lastDialled: string | null = null;
  return {
    dial: async (host, port, signal) => {
      const isTarget = host === target.host && port === target.port;
      const where = isTarget && address !== null ? address : host;
      const dialled = await dialTarget({ host: where, port, policy: deps.policy }, deps.dial, signal);
      if (isTarget) lastDialled = dialled.address;
      return dialled.socket;
    },
    nowMs: deps.runtime.nowMs,
    schedule: deps.runtime.schedule,
    identify: (seen) => {
      // Replicas have keys of their own, which no record names yet.
      if (seen.at !== undefined && (seen.at.host !== target.host || seen.at.port !== target.port)) return;
      if (known === null) {
        known = seen.value;
        seenFirst = seen.value;
      }
      if (known === seen.value) return;
      throw new PamError('PAM_TARGET_IDENTITY', `${target.host} shows another ${seen.kind} key than it should`, {
        detail: { expected: known, seen: seen.value },
      });
    },
    firstSeen: () => seenFirst,
    dialled: () => lastDialled,
    tookOver: (taken) => {
      lastDialled = taken;
    },
    note: (dialled) => {
      address = dialled;
    },
  };
}
