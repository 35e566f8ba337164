import { deviceIdSchema, type GatewayUid, PamError, type Schedule } from '@sallyport/protocol';
import { nextOccurrence } from '@sallyport/rotation';
import { signStandingOrder } from '@sallyport/seal';
import type { Cli } from '../cli.ts';
import { nowSeconds } from '../time/clock.ts';
import type { VaultSession } from '../vault/open-session.ts';
import type { User } from './rotated-record.ts';

/** Signs a schedule as a standing order over one record. @throws PAM_USAGE for one that never comes due. */
export async function signSchedule(
  cli: Cli,
  session: VaultSession,
  user: User,
  gateway: GatewayUid,
  schedule: Schedule,
): Promise<string> {
  const iat = nowSeconds(cli.clock);
  if (firstRun(schedule, iat) === null) throw new PamError('PAM_USAGE', 'the schedule never comes due from now on');
  return signStandingOrder(
    {
      iss: deviceIdSchema.parse(session.device.key.id),
      app: user.app,
      gateway,
      record: user.uid,
      schedule,
      iat,
      head: session.log.state().head,
    },
    session.device.key,
  );
}

function firstRun(schedule: Schedule, iat: number): number | null {
  try {
    return nextOccurrence(schedule, iat * 1_000, iat * 1_000);
  } catch (reason) {
    // The library's own words name the field or the zone.
    const why = reason instanceof Error ? reason.message : String(reason);
    throw new PamError('PAM_USAGE', `the schedule is not understood: ${why}`, { cause: reason });
  }
}
