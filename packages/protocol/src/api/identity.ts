import { z } from 'zod';
import { deviceIdSchema, personUidSchema } from '../ids.ts';
import { envelopeSchema } from '../record/item.ts';
import { defineRoute } from './route.ts';
import { empty, headSchema, jwsSchema, small } from './shapes.ts';

/** OPAQUE messages are base64url and under 1 KiB (RFC 9807; proven sizes: 43–427 characters). */
const opaqueMessage = z
  .string()
  .min(16)
  .max(1_024)
  .regex(/^[\w-]+$/);
/** Lower case on the server; 1–64 of letters, digits, dot, dash, underscore, at. */
export const signInNameSchema = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[A-Za-z0-9][\w.@-]*$/);
/** Name of the key-stretching parameters fixed in the client: 1 = Argon2id 64 MiB, t=3 (`memory-constrained`). */
const ksf = z.literal(1);
const lookup = z
  .string()
  .min(22)
  .max(64)
  .regex(/^[\w-]+$/);
const personBlob = envelopeSchema.max(8_192);
const recovery = z.strictObject({ lookup, blob: personBlob });

export const signedInSchema = z.strictObject({
  accessToken: z.string().length(43),
  expiresAtMs: z.int(),
  person: personUidSchema,
  name: signInNameSchema,
});

/** Anyone may ask; shows nothing that is not on the wire anyway. */
export const getInfo = defineRoute({
  method: 'GET',
  path: '/v1/info',
  access: 'public',
  audited: false,
  query: empty,
  body: empty,
  reply: z.strictObject({
    product: z.literal('sallyport'),
    version: z.string().max(32),
    protocol: z.strictObject({ min: z.int(), max: z.int() }),
    claimed: z.boolean(),
    timeMs: z.int(),
  }),
  bodyLimitBytes: small,
});

/** Setup, first half: needs the setup secret; does not burn it. */
export const beginSetup = defineRoute({
  method: 'POST',
  path: '/v1/setup/begin',
  access: 'public',
  audited: false,
  query: empty,
  body: z.strictObject({ secret: lookup, name: signInNameSchema, registrationRequest: opaqueMessage }),
  reply: z.strictObject({ registrationResponse: opaqueMessage, routerPin: z.string().length(43) }),
  bodyLimitBytes: small,
});

/** Setup, second half: burns the secret, stores person and genesis entry in one transaction, signs in. Needs DPoP. */
export const finishSetup = defineRoute({
  method: 'POST',
  path: '/v1/setup/finish',
  access: 'public',
  audited: false,
  query: empty,
  body: z.strictObject({
    secret: lookup,
    name: signInNameSchema,
    registrationRecord: opaqueMessage,
    ksf,
    personBlob,
    recovery,
    /** genesis, then the `device` entry of the caller's device. */
    entries: z.array(jwsSchema).length(2),
    lifeMinutes: z.int().min(1).max(1_440),
  }),
  reply: signedInSchema,
  bodyLimitBytes: 65_536,
});

/** Sign-in, first half. Unknown names get the same kind of answer in the same time. */
export const beginSignIn = defineRoute({
  method: 'POST',
  path: '/v1/sign-in/begin',
  access: 'public',
  audited: false,
  query: empty,
  body: z.strictObject({ name: signInNameSchema, startLoginRequest: opaqueMessage }),
  reply: z.strictObject({ attempt: lookup, loginResponse: opaqueMessage, ksf }),
  bodyLimitBytes: small,
});

/** Sign-in, second half: needs DPoP, whose key the token is bound to. */
export const finishSignIn = defineRoute({
  method: 'POST',
  path: '/v1/sign-in/finish',
  access: 'public',
  audited: false,
  query: empty,
  body: z.strictObject({
    attempt: lookup,
    finishLoginRequest: opaqueMessage,
    lifeMinutes: z.int().min(1).max(1_440),
  }),
  reply: z.strictObject({ ...signedInSchema.shape, personBlob }),
  bodyLimitBytes: small,
});

export const signOut = defineRoute({
  method: 'POST',
  path: '/v1/sign-out',
  access: 'enrolling',
  audited: false,
  query: empty,
  body: empty,
  reply: empty,
  bodyLimitBytes: small,
});

export const whoAmI = defineRoute({
  method: 'GET',
  path: '/v1/me',
  access: 'enrolling',
  audited: false,
  query: empty,
  body: empty,
  reply: z.strictObject({
    person: personUidSchema,
    name: signInNameSchema,
    device: deviceIdSchema,
    deviceInLog: z.boolean(),
    expiresAtMs: z.int(),
  }),
  bodyLimitBytes: small,
});

/** Recovery, first half: gives the blob that the recovery code opens. Throttled like sign-in. */
export const beginRecovery = defineRoute({
  method: 'POST',
  path: '/v1/recovery/begin',
  access: 'public',
  audited: false,
  query: empty,
  body: z.strictObject({ lookup, registrationRequest: opaqueMessage }),
  reply: z.strictObject({
    person: personUidSchema,
    name: signInNameSchema,
    blob: personBlob,
    registrationResponse: opaqueMessage,
    /** Where the trust log ends: the new device's entry continues it. Checked by the caller once it may read the log. */
    head: headSchema,
  }),
  bodyLimitBytes: small,
});

/**
 * Recovery, second half: new password, account secret and recovery code. `proof` is a JWS by the person's key over
 * the rest of the body (typ `sallyport-recovery+jws`, payload {lookup, digest}); `entry` signs the new device.
 */
export const finishRecovery = defineRoute({
  method: 'POST',
  path: '/v1/recovery/finish',
  access: 'public',
  audited: false,
  query: empty,
  body: z.strictObject({
    lookup,
    registrationRecord: opaqueMessage,
    ksf,
    personBlob,
    recovery,
    proof: jwsSchema,
    entry: jwsSchema,
    lifeMinutes: z.int().min(1).max(1_440),
  }),
  reply: signedInSchema,
  bodyLimitBytes: 65_536,
});
