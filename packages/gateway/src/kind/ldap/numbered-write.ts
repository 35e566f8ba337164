import type { ApplyOutcome } from '@sallyport/rotation';
import type { SendMark } from './send-mark.ts';

/** Another writer may move the mark between look and write: so often it is looked at again. */
const maxLooks = 3;

type MarkLook = { readonly kind: 'seen'; readonly mark: SendMark } | Exclude<ApplyOutcome, { kind: 'applied' }>;
export interface NumberedWrite {
  readonly send: number;
  /** What was seen before the permit, so that the write goes out in the turn of the call; null: look first. */
  readonly seen: SendMark | null;
  look(): Promise<MarkLook>;
  /** One Modify that moves the mark from `mark` to `send`, and changes nothing when it is not there any more. */
  write(mark: SendMark): Promise<ApplyOutcome>;
}

/**
 * Fence `number`: the mark and the password move in one Modify, and only upwards. A refused Modify has changed nothing, so
 * it is tried again when the mark moved meanwhile and is still lower; one whose answer is lost never is.
 */
export async function writeNumbered({ send, seen, look, write }: NumberedWrite): Promise<ApplyOutcome> {
  let mark = seen;
  let last: ApplyOutcome = { kind: 'denied', message: 'the send number of the account does not stand still' };
  for (let looks = 0; looks < maxLooks; looks += 1) {
    if (mark === null) {
      const looked = await look();
      if (looked.kind !== 'seen') return looked;
      mark = looked.mark;
    }
    if (mark.number >= send) return { kind: 'fenced', message: `the account has seen send ${mark.number}` };
    last = await write(mark);
    if (last.kind === 'applied' || last.kind === 'unknown') return last;
    const again = await look();
    if (again.kind !== 'seen') return again.kind === 'unknown' ? last : again;
    if (again.mark.own.join() === mark.own.join()) return stillThere(last);
    mark = again.mark;
  }
  return last;
}

/** The mark did not move, so it was not the fence that refused. */
function stillThere(outcome: ApplyOutcome): ApplyOutcome {
  return outcome.kind === 'fenced'
    ? { kind: 'denied', message: 'the login may not search the attribute that holds the send number' }
    : outcome;
}
