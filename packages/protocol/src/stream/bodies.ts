import { z } from 'zod';
import { hashSchema, headSchema } from '../api/shapes.ts';
import { instanceIdSchema, streamIdSchema } from '../ids.ts';
import { wireErrorSchema } from '../errors/wire-error.ts';

/**
 * JSON bodies of the frames that open a stream, inside end-to-end TLS. At most 16 KiB each, checked before parsing.
 *
 * @see docs/protocol.md, "Frames"
 */
export const streamWindow = { least: 262_144, usual: 1_048_576, most: 16_777_216 } as const;
const windowSchema = z.int().min(streamWindow.least).max(streamWindow.most);

/** READY, instance → client, first frame: which signed request this is the answer to, and the log head it knows. */
export const readyBodySchema = z.strictObject({
  requestHash: hashSchema,
  head: headSchema,
  instance: instanceIdSchema,
});
export type Ready = z.infer<typeof readyBodySchema>;

/** OPEN, client → instance: only now may the target be dialled. `window`: bytes the client is ready to hold. */
export const openBodySchema = z.strictObject({
  v: z.literal(1),
  stream: streamIdSchema,
  gen: z.int().min(1).max(4_294_967_295),
  window: windowSchema,
});
export type Open = z.infer<typeof openBodySchema>;

/** OPENED, instance → client: the target answered. `window`: bytes the instance is ready to hold. */
export const openedBodySchema = z.strictObject({ window: windowSchema });
export type Opened = z.infer<typeof openedBodySchema>;

/**
 * REFUSED, instance → client. `refused`, `name`, `denied` are the target's or the policy's own word: no other instance
 * is asked. `unreachable`, `timeout`: one other may be. `busy`: this instance cannot now, any other may.
 */
export const refusedClassSchema = z.enum(['refused', 'name', 'denied', 'unreachable', 'timeout', 'busy']);
export type RefusedClass = z.infer<typeof refusedClassSchema>;
export const refusedBodySchema = z.strictObject({ class: refusedClassSchema, error: wireErrorSchema });
export type Refused = z.infer<typeof refusedBodySchema>;

/** NOTICE, instance → client, at any time while open: for people to read (drain). */
export const noticeBodySchema = z.strictObject({
  notice: z.enum(['drain']),
  message: z.string().max(1_024),
  deadlineInMs: z.int().min(0).max(604_800_000),
});
export type Notice = z.infer<typeof noticeBodySchema>;
