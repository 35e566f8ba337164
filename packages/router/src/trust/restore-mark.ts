import { gatewayUidSchema, headSchema, type InstanceId, instanceIdSchema, PamError } from '@sallyport/protocol';
import { z } from 'zod';

/** Members of the backup that a mark names. */
export const markedMembers = 1_000;

const restoreMarkSchema = z.strictObject({
  incarnation: z.int().min(1),
  atMs: z.int(),
  /** Where the trust log ended in the backup. */
  before: headSchema,
  /** Starts of the router up to this one are from before the restore. */
  lastStart: z.int().min(0),
  members: z
    .array(z.strictObject({ gateway: gatewayUidSchema, instance: instanceIdSchema, deviceName: z.string().max(255) }))
    .max(markedMembers),
  /** New entries of the trust log are refused until somebody reopens it. */
  closed: z.boolean(),
});
/** What a store knows of the last time it was put in the place of a newer one. */
export type RestoreMark = Readonly<z.infer<typeof restoreMarkSchema>>;

/** Settings of the store: the mark, and entries of the replaced store's log that are given back at the next start. */
export const restoreSettings = { mark: 'restored', entries: 'restored-entries' } as const;

/** @throws PAM_STORE_DAMAGED when the stored mark is not one: a router that cannot tell must not take new entries. */
export function readRestoreMark(text: string | null): RestoreMark | null {
  if (text === null) return null;
  try {
    return restoreMarkSchema.parse(JSON.parse(text));
  } catch (reason) {
    throw PamError.from(reason, 'PAM_STORE_DAMAGED', 'what the store says of its restore is not understood');
  }
}

/** Why a new entry is refused; null when it is not. */
export function refusalOfNew(mark: RestoreMark | null): PamError | null {
  if (mark?.closed !== true) return null;
  return new PamError(
    'PAM_TRUST_RESTORED',
    `the router was restored on ${new Date(mark.atMs).toISOString()} and takes no new entry of the trust log yet`,
    { detail: { incarnation: mark.incarnation } },
  );
}

/** Members of the backup that are not among those who came back. */
export function notBack(mark: RestoreMark, back: ReadonlySet<InstanceId>): RestoreMark['members'] {
  return mark.members.filter(({ instance }) => !back.has(instance));
}
