import { giveBackEvents, giveBackLimits, PamError } from '@sallyport/protocol';
import { eventHash } from '@sallyport/seal';
import { missingEvents } from '../profile/kept-events.ts';
import type { RouterClient } from './router-client.ts';

type ChainEnd = { readonly seq: number; readonly hash: string };

/** The first events of `events` that fit into one call, at least one. */
export function nextEvents(events: readonly string[], from: number): readonly string[] {
  let chars = 0;
  const batch = events.slice(from, from + giveBackLimits.events);
  const fitting = batch.findIndex((event) => (chars += event.length) > giveBackLimits.chars);
  return fitting < 0 ? batch : batch.slice(0, Math.max(1, fitting));
}

/**
 * Gives the router the events of this device that it lost. They were done, or refused, once; nothing is done again.
 *
 * @returns how many; null when the router is of a version that takes none.
 * @throws PAM_AUDIT_BROKEN when they are not kept any more, when the router's chain is another, or when it answers with an end
 *   that they do not have.
 */
export async function giveEventsBack(
  client: Pick<RouterClient, 'call'>,
  lines: readonly string[],
  named: ChainEnd,
  known: ChainEnd,
): Promise<number | null> {
  const missing = missingEvents(lines, named, known);
  if (missing.kind === 'fork') {
    throw new PamError(
      'PAM_AUDIT_BROKEN',
      `the router shows another event ${named.seq} of this device than the one it signed`,
      { detail: { why: 'fork', named: named.seq } },
    );
  }
  if (missing.kind === 'gap') {
    throw new PamError(
      'PAM_AUDIT_BROKEN',
      `the router knows ${named.seq} events of this device; ${known.seq} were acknowledged, and this profile does not keep all that are missing`,
      {
        detail: { why: 'gap', named: named.seq, known: known.seq },
        remedy:
          'After a restore go on as a new device: pam login --profile NAME. Keep this profile: it shows what was lost.',
      },
    );
  }
  for (let from = 0; from < missing.events.length; ) {
    const batch = nextEvents(missing.events, from);
    const end = { seq: named.seq + from + batch.length, hash: await eventHash(batch.at(-1) ?? '') };
    const reply = await sent(client, batch);
    if (reply === null) return null;
    if (reply.seq !== end.seq || reply.hash !== end.hash) {
      throw new PamError(
        'PAM_AUDIT_BROKEN',
        `the router answers with event ${reply.seq} of this device after ${end.seq}`,
        {
          detail: { why: 'given-back', named: reply.seq, known: end.seq },
        },
      );
    }
    from += batch.length;
  }
  return missing.events.length;
}

async function sent(client: Pick<RouterClient, 'call'>, events: readonly string[]): Promise<ChainEnd | null> {
  try {
    return await client.call(giveBackEvents, { body: { events: [...events] } });
  } catch (reason) {
    if (reason instanceof PamError && reason.code === 'PAM_NOT_FOUND') return null;
    throw reason;
  }
}
