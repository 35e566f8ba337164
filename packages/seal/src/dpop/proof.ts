import { type DeviceId, deviceIdSchema, hashSchema, toBase64url } from '@sallyport/protocol';
import { CompactSign, compactVerify } from 'jose';
import { z } from 'zod';
import { hashText, randomBytes, utf8 } from '../bytes.ts';
import { parseJson } from '../jose/statement.ts';
import { type PublicJwk, publicJwkSchema, type SigningKey, thumbprint } from '../keys/ec-key.ts';
import { refusal } from '../refuse.ts';

/** How long before or after its `iat` a proof is taken; the caller keeps each `jti` this long, twice. */
export const proofWindowSeconds = 60;
const maxChars = 4_096;

const headerSchema = z.strictObject({ typ: z.literal('dpop+jwt'), alg: z.literal('ES256'), jwk: publicJwkSchema });
const claimsSchema = z.strictObject({
  jti: z.string().regex(/^[\w-]{22,64}$/),
  htm: z.string().regex(/^[A-Z]{3,16}$/),
  htu: z.string().min(8).max(2_048),
  iat: z.int().min(0).max(253_402_300_799),
  ath: hashSchema.optional(),
});

/**
 * Signs a DPoP proof (RFC 9449 section 4.2) for one HTTP request.
 *
 * @param what.url - absolute; query and fragment are dropped.
 */
export async function signProof(
  what: {
    readonly method: string;
    readonly url: string;
    readonly nowSeconds: number;
    readonly accessToken?: string;
    readonly jti?: string;
  },
  device: SigningKey,
): Promise<string> {
  const claims = {
    jti: what.jti ?? toBase64url(randomBytes(16)),
    htm: what.method,
    htu: bareUrl(what.url) ?? what.url,
    iat: what.nowSeconds,
    ...(what.accessToken === undefined ? {} : { ath: await hashText(what.accessToken) }),
  };
  return new CompactSign(utf8(JSON.stringify(claims)))
    .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: { ...device.publicJwk } })
    .sign(device.privateKey);
}

export interface VerifiedProof {
  /** RFC 7638 thumbprint of the key that signed: the access token must be bound to it. */
  readonly jkt: DeviceId;
  readonly jti: string;
  readonly iat: number;
  readonly publicJwk: PublicJwk;
}

/**
 * Verifies a proof (RFC 9449 section 4.3). The caller refuses a `jti` it has seen from this key and compares `jkt`
 * with the one its access token is bound to.
 *
 * @param want.url - absolute, or a path beginning with '/' where the server cannot know the name it was called by.
 * @throws PAM_PROOF_INVALID with why: size, form, header, payload, signature, method, url, stale, token.
 */
export async function verifyProof(
  jwt: string,
  want: {
    readonly method: string;
    readonly url: string;
    readonly nowSeconds: number;
    readonly accessToken?: string;
  },
): Promise<VerifiedProof> {
  const refuse = (why: string, problem: string, cause?: unknown) =>
    refusal('PAM_PROOF_INVALID', why, `The proof of possession ${problem}.`, cause);
  if (jwt.length > maxChars) throw refuse('size', `is longer than ${maxChars} characters`);
  const parts = /^([\w-]+)\.([\w-]+)\.[\w-]{85}[AQgw]$/.exec(jwt);
  if (parts === null) throw refuse('form', 'is not a compact JWS');
  const header = headerSchema.safeParse(parseJson(parts[1] ?? ''));
  if (!header.success) throw refuse('header', 'has not exactly the header of dpop+jwt', header.error);
  const claims = claimsSchema.safeParse(parseJson(parts[2] ?? ''));
  if (!claims.success) throw refuse('payload', 'is malformed', claims.error);
  const { jwk } = header.data;
  try {
    const key = await crypto.subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['verify']);
    await compactVerify(jwt, key, { algorithms: ['ES256'] });
  } catch (reason) {
    throw refuse('signature', 'has a signature that does not verify', reason);
  }
  const { htm, htu, iat, jti, ath } = claims.data;
  if (htm !== want.method) throw refuse('method', 'is for another method');
  const called = want.url.startsWith('/') ? pathOf(htu) : bareUrl(htu);
  const expected = want.url.startsWith('/') ? pathOf(`https://router${want.url}`) : bareUrl(want.url);
  if (called === undefined || called !== expected) throw refuse('url', 'is for another address');
  if (Math.abs(want.nowSeconds - iat) > proofWindowSeconds) {
    throw refuse('stale', `was signed ${want.nowSeconds - iat} s ago by this clock`);
  }
  if (ath !== (want.accessToken === undefined ? undefined : await hashText(want.accessToken))) {
    throw refuse('token', 'is for another access token');
  }
  return { jkt: deviceIdSchema.parse(await thumbprint(jwk)), jti, iat, publicJwk: jwk };
}

function bareUrl(text: string): string | undefined {
  const url = URL.parse(text);
  return url === null ? undefined : `${url.origin}${url.pathname}`;
}

function pathOf(text: string): string | undefined {
  return URL.parse(text)?.pathname;
}
