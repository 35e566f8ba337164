import type { ItemUid, PamError } from '@sallyport/protocol';
import { sealPart } from '@sallyport/seal';
import type { Endpoint } from '../endpoint.ts';
import type { TargetIo } from '../target-io.ts';
import { callWithinMs, type HeldJob, type RunJobDeps } from './job-deps.ts';
import type { JobNotes } from './job-notes.ts';

/** The key that a server showed first is kept with the resource; who comes second compares with it. */
export function createFirstSeenKeeper(
  { opened }: HeldJob,
  notes: JobNotes,
  deps: RunJobDeps,
): (where: Endpoint, wire: TargetIo) => Promise<void> {
  const written = new Set<ItemUid>();
  return async (where, wire) => {
    const firstSeen = wire.firstSeen();
    if (firstSeen === null || written.has(where.resource)) return;
    written.add(where.resource);
    const item = opened.items.item(where.resource);
    const gen = notes.gen();
    const rev = (item.parts.state?.rev ?? 0) + 1;
    const at = { app: deps.app, uid: where.resource, type: item.type, part: 'state', gen, rev } as const;
    const seconds = Math.floor(deps.runtime.nowMs() / 1_000);
    const envelope = await sealPart(at, { firstSeen }, await deps.keys.factsKey(gen), deps.poolKey, seconds);
    await deps
      .call('vault.state', { uid: where.resource, state: { rev, gen, envelope } }, { timeoutMs: callWithinMs })
      .catch((error: PamError) =>
        deps.log.info('a server’s first key was kept by somebody else', { code: error.code }),
      );
  };
}
