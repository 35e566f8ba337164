import { z } from 'zod';

/** An error as it comes over the wire: its code may be one that this version does not know. */
export const wireErrorSchema = z.strictObject({
  code: z.string().max(64),
  message: z.string().max(1_024),
  remedy: z.string().max(1_024),
  detail: z.record(z.string().max(64), z.union([z.string().max(1_024), z.number()])),
});
