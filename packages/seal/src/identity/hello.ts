import { gatewayUidSchema, hashSchema, type InstanceId, instanceIdSchema, PamError } from '@sallyport/protocol';
import { z } from 'zod';
import { openStatement, signStatement } from '../jose/statement.ts';
import { type PublicJwk, type SigningKey, thumbprint } from '../keys/ec-key.ts';
import { refusal } from '../refuse.ts';
import { type CertificateQuestion, checkInstanceCertificate } from './instance-identity.ts';

const helloSchema = z.strictObject({
  nonce: hashSchema,
  gateway: gatewayUidSchema,
  instance: instanceIdSchema,
  routerPin: hashSchema,
});

/** What an instance signs to be admitted: the router's challenge, who it is, and the router key it is talking to. */
export type HelloClaims = Readonly<z.infer<typeof helloSchema>>;

export async function signHello(claims: HelloClaims, instance: SigningKey): Promise<string> {
  return signStatement('sallyport-hello+jws', helloSchema.parse(claims), instance);
}

/**
 * Verifies, at the router, that the caller holds a key certified under the pool key that the log names. `routerPin`
 * being ours means that nobody in between passed a challenge on.
 *
 * @throws PAM_INSTANCE_REFUSED with the whys of the certificate and of the statement, and nonce, gateway, instance,
 * router.
 */
export async function verifyHello(
  jws: string,
  want: Omit<CertificateQuestion, 'der'> & {
    readonly certificate: string;
    readonly nonce: string;
    readonly routerPin: string;
  },
): Promise<{ readonly instance: InstanceId; readonly publicJwk: PublicJwk }> {
  const refuse = (why: string, problem: string, cause?: unknown) =>
    refusal('PAM_INSTANCE_REFUSED', why, `The instance ${problem}.`, cause);
  let shown: { readonly instance: InstanceId; readonly publicJwk: PublicJwk };
  try {
    shown = await checkInstanceCertificate({ ...want, der: want.certificate });
  } catch (reason) {
    if (!(reason instanceof PamError)) throw reason;
    throw refuse(String(reason.detail['why']), `shows a certificate that is not one of this pool: ${reason.message}`);
  }
  const own = await thumbprint(shown.publicJwk);
  const { payload } = await openStatement(jws, {
    typ: 'sallyport-hello+jws',
    maxChars: 4_096,
    schema: helloSchema,
    code: 'PAM_INSTANCE_REFUSED',
    what: 'The proof of the instance',
    keyOf: (kid) => (kid === own ? shown.publicJwk : undefined),
  });
  if (payload.nonce !== want.nonce) throw refuse('nonce', 'answers another challenge');
  if (payload.gateway !== want.gateway) throw refuse('gateway', 'asks to join another gateway');
  if (payload.instance !== shown.instance) throw refuse('instance', 'names another id than its key');
  if (payload.routerPin !== want.routerPin)
    throw refuse('router', 'talks to another router key: somebody is in between');
  return shown;
}
