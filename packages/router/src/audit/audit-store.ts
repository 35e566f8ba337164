import type { AuditEvent } from '@sallyport/protocol';

/** Position in a chain: number and hash of its last event; seq 0 and '' when there is none. */
export interface ChainHead {
  readonly seq: number;
  readonly hash: string;
}

/** One event to append. `actor` continues the actor's own chain in the same transaction. */
export interface NewEvent {
  readonly atMs: number;
  readonly kind: string;
  /** JSON text, at most 8 KiB. */
  readonly body: string;
  readonly actorEvent: string | null;
  readonly actor: {
    readonly id: string;
    readonly seq: number;
    readonly prev: string;
    readonly hash: string;
  } | null;
}

/** A chain per router and start; hashes are made in the transaction (protocol/api/audit.ts says of what). */
export interface AuditStore {
  /**
   * Appends to the chain (router, start); answers its new head. PAM_AUDIT_SEQUENCE when `actor.seq` is not the stored
   * one plus 1 or `actor.prev` not the stored hash (detail: actor, seq, stored, storedHash).
   */
  appendEvents(input: {
    readonly router: string;
    readonly start: number;
    readonly events: readonly NewEvent[];
  }): Promise<ChainHead>;
  headOfActor(input: { readonly actor: string }): Promise<ChainHead>;
  /** All chains: head of each (router, start), oldest start first, at most 1,000 newest. */
  listHeads(
    input: Record<never, never>,
  ): Promise<readonly (ChainHead & { readonly router: string; readonly start: number; readonly atMs: number })[]>;
  /** In order (start, seq) strictly after (start, after); `newest`: the other way round, before them when start > 0. */
  listEvents(input: {
    readonly start: number;
    readonly after: number;
    readonly limit: number;
    readonly order: 'oldest' | 'newest';
  }): Promise<{ readonly events: readonly AuditEvent[]; readonly more: boolean }>;
}
