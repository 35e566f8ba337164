import { hashSchema } from '@sallyport/protocol';
import { z } from 'zod';
import { openStatement, signStatement } from '../jose/statement.ts';
import { type PublicJwk, type SigningKey, thumbprint } from '../keys/ec-key.ts';
import { refusal } from '../refuse.ts';

const proofSchema = z.strictObject({ lookup: hashSchema, digest: hashSchema });
export type RecoveryProof = Readonly<z.infer<typeof proofSchema>>;

/** Signs, with the person's key, what a recovery changes; `digest` = digestOf(the rest of the request's body). */
export async function signRecoveryProof(claims: RecoveryProof, person: SigningKey): Promise<string> {
  return signStatement('sallyport-recovery+jws', proofSchema.parse(claims), person);
}

/**
 * @param personSignKey - from the trust log.
 * @throws PAM_RECOVERY_FAILED with why: size, form, header, payload, signer, signature, lookup, digest.
 */
export async function verifyRecoveryProof(jws: string, personSignKey: PublicJwk, want: RecoveryProof): Promise<void> {
  const id = await thumbprint(personSignKey);
  const { payload } = await openStatement(jws, {
    typ: 'sallyport-recovery+jws',
    maxChars: 2_048,
    schema: proofSchema,
    code: 'PAM_RECOVERY_FAILED',
    what: 'The proof of recovery',
    keyOf: (kid) => (kid === id ? personSignKey : undefined),
  });
  for (const name of ['lookup', 'digest'] as const) {
    if (payload[name] !== want[name]) {
      throw refusal('PAM_RECOVERY_FAILED', name, `The proof of recovery is for another ${name}.`);
    }
  }
}
