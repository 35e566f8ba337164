import {
  deviceIdSchema,
  type GatewayUid,
  hashSchema,
  headSchema,
  itemUidSchema,
  PamError,
  revisionSchema,
  sessionIdSchema,
  streamIdSchema,
} from '@sallyport/protocol';
import { z } from 'zod';
import { hashText } from '../bytes.ts';
import { openStatement, readStatement, signStatement } from '../jose/statement.ts';
import type { SigningKey } from '../keys/ec-key.ts';
import { checkHead, type LogState } from '../log/state.ts';
import { refusal } from '../refuse.ts';

/** A request must be used within this time of being signed. */
export const requestLifeSeconds = 60;
/** Longest life of the stream it starts. */
export const requestUntilSeconds = 43_200;
/** Difference of clocks that is forgiven. */
export const requestToleranceSeconds = 5;
const requestMaxChars = 16_384;

const seconds = z.int().min(0).max(253_402_300_799);

const sessionRequestSchema = z.strictObject({
  iss: deviceIdSchema,
  aud: z.string().regex(/^gateway:[A-Za-z][\w-]{21}$/),
  jti: z.string().regex(/^[\w-]{22,64}$/),
  iat: seconds,
  exp: seconds,
  until: seconds,
  session: sessionIdSchema,
  stream: streamIdSchema,
  resource: itemUidSchema,
  /** Least revision of the facts of each item the request stands on: resource, its configuration, its credential. */
  revs: z.record(itemUidSchema, revisionSchema).refine((revs) => {
    const count = Object.keys(revs).length;
    return count >= 1 && count <= 8;
  }),
  workload: z.literal('tunnel'),
  head: headSchema,
  /** base64url SHA-256 of the SPKI of the session key. */
  cnf: hashSchema,
  sealed: z
    .string()
    .max(8_192)
    .regex(/^[\w.-]+$/)
    .optional(),
});

/** What a device signs for one stream; the instance acts on nothing else. Every member is covered and checked. */
export type SessionRequest = Readonly<z.infer<typeof sessionRequestSchema>>;

/** @throws PAM_BAD_REQUEST when the claims are malformed. */
export async function signRequest(claims: SessionRequest, device: SigningKey): Promise<string> {
  const parsed = sessionRequestSchema.safeParse(claims);
  if (!parsed.success) {
    throw new PamError('PAM_BAD_REQUEST', 'The claims of a session request are malformed.', { cause: parsed.error });
  }
  return signStatement('sallyport-request+jwt', parsed.data, device);
}

const rules = {
  typ: 'sallyport-request+jwt',
  maxChars: requestMaxChars,
  schema: sessionRequestSchema,
  code: 'PAM_REQUEST_INVALID',
  what: 'The session request',
} as const;

/** The claims without any check but their form: for the router's routing and its lists. */
export function peekRequest(jwt: string): SessionRequest {
  return readStatement(jwt, rules).payload;
}

/**
 * Verifies a session request as the instance must: signer in the log with the right 'connect', for this gateway, in
 * time. The caller refuses a `jti` it has seen (keep it until exp + 5 s) and compares `cnf` with the handshake.
 *
 * @throws PAM_REQUEST_INVALID with why: size, form, header, payload, signer, right, signature, issuer, audience,
 * life, early, expired, until, revs; PAM_TRUST_BEHIND when the sender knows a newer log: fetch, fold, verify again;
 * PAM_TRUST_FORKED when it knows another one.
 */
export async function verifyRequest(
  jwt: string,
  want: { readonly gateway: GatewayUid; readonly log: LogState; readonly nowSeconds: number },
): Promise<SessionRequest> {
  const { log, nowSeconds } = want;
  const { kid, payload } = await openStatement(jwt, {
    ...rules,
    keyOf: (device, claims) => {
      const known = log.devices.get(device);
      if (known === undefined) {
        // The device may have been signed in by an entry that is missing here.
        if (claims.head.n > log.head.n) checkHead(log, claims.head);
        return undefined;
      }
      if (log.grants(device, 'connect')) return known.key;
      throw refusal(rules.code, 'right', 'The session request is signed by a device that may not connect.');
    },
  });
  const refuse = (why: string, problem: string) => refusal(rules.code, why, `The session request ${problem}.`);
  if (payload.iss !== kid) throw refuse('issuer', 'is signed by another device than it names');
  if (payload.aud !== `gateway:${want.gateway}`) throw refuse('audience', 'is for another gateway');
  if (payload.exp !== payload.iat + requestLifeSeconds) throw refuse('life', 'does not expire after 60 s');
  if (payload.iat > nowSeconds + requestToleranceSeconds) {
    throw refuse('early', `was signed ${payload.iat - nowSeconds} s in the future: compare the clocks`);
  }
  if (nowSeconds > payload.exp + requestToleranceSeconds) {
    throw refuse('expired', `expired ${nowSeconds - payload.exp} s ago: compare the clocks`);
  }
  if (payload.until <= payload.iat || payload.until > payload.iat + requestUntilSeconds) {
    throw refuse('until', 'asks for a stream of no life or of more than 12 h');
  }
  if (!Object.hasOwn(payload.revs, payload.resource)) throw refuse('revs', 'names no revision of its resource');
  checkHead(log, payload.head);
  return payload;
}

/** base64url SHA-256 of the compact text; the instance's first frame repeats it. */
export function requestHash(jwt: string): Promise<string> {
  return hashText(jwt);
}
