import { randomBytes } from 'node:crypto';
import { uptime } from 'node:os';
import { jobIdSchema, newUid } from '@sallyport/protocol';
import { createRotationService, type RotationService } from '../rotation/index.ts';
import type { RouterSettings } from '../router-settings.ts';
import type { Ground } from './open-ground.ts';
import type { Services } from './wire-services.ts';

/** Setting with the latest wall time that a scheduler saw. */
const wallKey = 'scheduler-wall-ms';

/** Jobs and their timer, over the links and the pool. */
export async function wireRotation(
  settings: Pick<RouterSettings, 'acceptClock'>,
  ground: Ground,
  { acceptEvents, links, pool }: Pick<Services, 'acceptEvents' | 'links' | 'pool'>,
): Promise<RotationService> {
  const { clock, timing, watch, store, identity, trust, audit, failed } = ground;
  const seen = settings.acceptClock ? null : await store.identity.readSetting({ key: wallKey });
  return createRotationService({
    store: store.rotation,
    vault: store.vault,
    pool,
    links: links.forJobs,
    audit,
    signedBy: acceptEvents.signedBy,
    head: trust.head,
    clock,
    bootMs: () => 1_000 * uptime(),
    timing,
    start: identity.start,
    newJobId: () => jobIdSchema.parse(newUid((length) => randomBytes(length))),
    wall: {
      seenMs: seen === null ? null : Number(seen),
      note: (wallMs) => store.identity.writeSetting({ key: wallKey, value: String(wallMs) }),
    },
    promoted: watch.figures.promoted,
    ended: watch.figures.jobEnded,
    failed: failed('jobs cannot go on'),
  });
}
