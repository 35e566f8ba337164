import { Timestamp } from 'bson';
import { z } from 'zod';

/** What every answer says of itself. */
export const outcomeSchema = z.object({
  ok: z.number(),
  code: z.number().int().optional(),
  errmsg: z.string().max(65_536).optional(),
  writeConcernError: z.unknown().optional(),
});

export const helloSchema = z.object({
  isWritablePrimary: z.boolean(),
  maxWireVersion: z.number().int(),
  /** Of the user that was named; absent when there is none of that name. */
  saslSupportedMechs: z.array(z.string().max(64)).max(16).optional(),
  setName: z.string().max(256).optional(),
  lastWrite: z.object({ opTime: z.object({ ts: z.instanceof(Timestamp) }) }).optional(),
});
export type Hello = z.infer<typeof helloSchema>;

export const saslSchema = z.object({
  conversationId: z.number().int(),
  done: z.boolean(),
  payload: z.instanceof(Uint8Array),
});

export const usersSchema = z.object({
  users: z.array(z.object({ mechanisms: z.array(z.string().max(64)).max(16).optional() })).max(16),
});

const privilegeSchema = z.object({
  resource: z.object({
    db: z.string().optional(),
    collection: z.string().optional(),
    anyResource: z.boolean().optional(),
  }),
  actions: z.array(z.string().max(128)).max(1_024),
});
export type Privilege = z.infer<typeof privilegeSchema>;
export const statusSchema = z.object({
  authInfo: z.object({ authenticatedUserPrivileges: z.array(privilegeSchema).max(4_096) }),
});
