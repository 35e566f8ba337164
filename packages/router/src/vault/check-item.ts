import { type ItemType, PamError, type PartEnvelope, type Right, type WriteItem } from '@sallyport/protocol';
import { type LogState, peekPlace } from '@sallyport/seal';

type WrittenPart = 'facts' | 'secrets';

/** @throws PAM_SEAL_MISPLACED when the envelope says that it was sealed for another place. */
export function checkPlace(
  item: Pick<WriteItem, 'app' | 'uid' | 'type'>,
  part: WrittenPart,
  written: PartEnvelope,
): void {
  const place = peekPlace(written.envelope);
  const want = { app: item.app, uid: item.uid, type: item.type, part, gen: written.gen, rev: written.rev };
  for (const [field, value] of Object.entries(want)) {
    if (Reflect.get(place, field) === value) continue;
    throw new PamError('PAM_SEAL_MISPLACED', `the ${part} envelope was sealed for another ${field}`, {
      detail: { uid: item.uid, part, field },
    });
  }
}

/**
 * Checks what the router can see of an item to be written: every part sealed for this place, under the application's
 * current generation. Who may have signed it is inside the envelope: readers check that.
 *
 * @throws PAM_BAD_REQUEST without a part, PAM_NOT_FOUND for an unknown or removed application, PAM_SEAL_MISPLACED,
 *   PAM_CONFLICT for another generation than the current one.
 */
export function checkItem(item: WriteItem, log: LogState): void {
  const app = log.apps.get(item.app);
  if (app === undefined || app.removed) {
    throw new PamError('PAM_NOT_FOUND', `there is no application ${item.app}`, { detail: { uid: item.app } });
  }
  const parts = [
    ['facts', item.parts.facts],
    ['secrets', item.parts.secrets],
  ] as const;
  if (parts.every(([, written]) => written === undefined)) throw new PamError('PAM_BAD_REQUEST', 'no part is given');
  for (const [part, written] of parts) {
    if (written === undefined) continue;
    checkPlace(item, part, written);
    if (written.gen !== app.currentGen) {
      throw new PamError('PAM_CONFLICT', `the application's keys are of generation ${app.currentGen} now`, {
        detail: { uid: item.uid, part, generation: app.currentGen },
      });
    }
  }
}

const rightOfType: Partial<Record<ItemType, Right>> = { application: 'applications', gateway: 'gateways' };

/** Rights that writing this item takes, beside the route's own. */
export function rightsToWrite(item: WriteItem): readonly Right[] {
  const rights: Right[] = [rightOfType[item.type] ?? 'records'];
  // Pointing a credential somewhere is as strong as reading it (architecture section 3).
  if (item.parts.secrets !== undefined || item.type === 'pamUser') rights.push('secrets');
  return rights;
}
