import { drainBySchema } from '@sallyport/protocol';
import { z } from 'zod';
import type { Intent } from './member.ts';

/** Intent as it stands in the store (JSON text) and comes from the API. */
export const intentSchema: z.ZodType<Intent> = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('serve') }),
  z.strictObject({ kind: z.literal('cordon') }),
  z.strictObject({
    kind: z.literal('drain'),
    by: drainBySchema,
    deadlineAtMs: z.int().min(0),
    replace: z.literal(true).optional(),
  }),
]);
