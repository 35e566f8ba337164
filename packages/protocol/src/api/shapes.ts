import { z } from 'zod';

/** No query or no body. */
export const empty = z.strictObject({});
/** Limit of small bodies, bytes. */
export const small = 4_096;
export const jwsSchema = z
  .string()
  .min(16)
  .max(16_384)
  .regex(/^[\w-]+\.[\w-]+\.[\w-]+$/);
/** Hashes are SHA-256 in base64url, 43 characters. */
export const hashSchema = z.string().regex(/^[\w-]{43}$/);
/** Number and hash of a trust log entry. */
export const headSchema = z.strictObject({ n: z.int().min(0).max(10_000_000), hash: hashSchema });
export type Head = z.infer<typeof headSchema>;

/** Time a drain leaves to what runs; a week at most. */
export const drainLimits = { deadlineMs: 604_800_000 } as const;
export const drainInMs = z.int().min(0).max(drainLimits.deadlineMs);
/** Who began a drain: an operator's word, the instance itself (SIGTERM), or a lowered maximum. */
export const drainBySchema = z.enum(['operator', 'gateway', 'surplus']);
