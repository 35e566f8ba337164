import { hashSchema } from '@sallyport/protocol';
import { CompactSign, compactVerify } from 'jose';
import { z } from 'zod';
import { utf8 } from '../bytes.ts';
import { pinOfKey } from '../identity/router-identity.ts';
import { parseJson } from '../jose/statement.ts';
import { type PublicJwk, publicJwkSchema, type SigningKey, verificationKey } from '../keys/ec-key.ts';
import { refusal } from '../refuse.ts';

const headSchema = z.strictObject({
  /** Pin of the router's key. */
  router: hashSchema,
  start: z.int().min(0),
  seq: z.int().min(0),
  hash: z.union([z.literal(''), hashSchema]),
  at: z.int().min(0).max(253_402_300_799),
});
const headerSchema = z.strictObject({
  alg: z.literal('ES256'),
  typ: z.literal('sallyport-head+jws'),
  jwk: publicJwkSchema,
});

/** Where one start of a router says its chain of events ends; whoever keeps it can show a cut tail or a fork. */
export type RouterHead = Readonly<z.infer<typeof headSchema>>;

/** Signs a head; the header carries the router's public key, because the log names only its pin. */
export async function signHead(head: RouterHead, routerKey: SigningKey): Promise<string> {
  return new CompactSign(utf8(JSON.stringify(headSchema.parse(head))))
    .setProtectedHeader({ alg: 'ES256', typ: 'sallyport-head+jws', jwk: { ...routerKey.publicJwk } })
    .sign(routerKey.privateKey);
}

/**
 * @param trusted - the router's public key, or the pins that the trust log names.
 * @throws PAM_AUDIT_BROKEN with why: size, form, header, payload, signer, signature, router.
 */
export async function verifyHead(jws: string, trusted: PublicJwk | readonly string[]): Promise<RouterHead> {
  const refuse = (why: string, problem: string, cause?: unknown) =>
    refusal('PAM_AUDIT_BROKEN', why, `A head of the audit log ${problem}.`, cause);
  if (jws.length > 4_096) throw refuse('size', 'is longer than 4,096 characters');
  const parts = /^([\w-]+)\.([\w-]+)\.[\w-]{85}[AQgw]$/.exec(jws);
  if (parts === null) throw refuse('form', 'is not a compact JWS');
  const header = headerSchema.safeParse(parseJson(parts[1] ?? ''));
  if (!header.success) throw refuse('header', 'has not exactly the header of sallyport-head+jws', header.error);
  const head = headSchema.safeParse(parseJson(parts[2] ?? ''));
  if (!head.success) throw refuse('payload', 'is malformed', head.error);
  try {
    const key = await verificationKey(header.data.jwk);
    await compactVerify(jws, key, { algorithms: ['ES256'] });
  } catch (reason) {
    throw refuse('signature', 'has a signature that does not verify', reason);
  }
  const pin = await pinOfKey(header.data.jwk);
  const pins = isPins(trusted) ? trusted : [await pinOfKey(trusted)];
  if (!pins.includes(pin)) throw refuse('signer', 'is signed by a key that is not the router we trust');
  if (head.data.router !== pin) throw refuse('router', 'names another router than its key');
  return head.data;
}

function isPins(trusted: PublicJwk | readonly string[]): trusted is readonly string[] {
  return Array.isArray(trusted);
}
