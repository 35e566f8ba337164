import type { PoolDelta } from './member.ts';
import type { Pool, PoolEffect, PoolEvent, RouterPools } from './pool-state.ts';

/** Answers of the store that carry what one transaction changed. */
export type News = Extract<PoolEvent, { readonly kind: 'admitted' | 'settled' | 'changed' }>;

/**
 * Answers that came before one they follow on. They wait, whole, until it is here or the pool was read anew: adopted at
 * once, the version would hide what is missing for ever.
 *
 * @returns whether `news` has to wait; a read was asked for then.
 */
export function holdAfterGap(state: RouterPools, pool: Pool, news: News, effects: PoolEffect[]): boolean {
  const { delta } = news;
  if (delta === null || state.rules.follows(delta, pool.gateway.version)) return false;
  pool.held.push(news);
  askRead(pool, effects);
  return true;
}

/** The next of them that follows on what is known now; undefined when there is none. */
export function takeNext(state: RouterPools, pool: Pool): News | undefined {
  const at = pool.held.findIndex(({ delta }) => delta === null || state.rules.follows(delta, pool.gateway.version));
  return at < 0 ? undefined : pool.held.splice(at, 1)[0];
}

/** One read at a time; after a failed one, not before the pool has rested. */
export function askRead(pool: Pool, effects: PoolEffect[]): void {
  if (pool.reading) return;
  pool.reading = true;
  effects.push({ kind: 'read', gateway: pool.uid });
}

/** A delta may be adopted by whoever has seen all that was before it. */
export function follows(delta: PoolDelta, version: number): boolean {
  return delta.follows <= version;
}
