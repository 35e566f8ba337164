import { type LinkParams, PamError } from '@sallyport/protocol';
import { checkHead, type LogGateway, type LogState, verifyHello } from '@sallyport/seal';

/** Certificates are backdated 5 minutes and requests live 60 s: a clock further off makes trouble later. */
const clockToleranceMs = 30_000;

/**
 * Checks an instance's hello against the trust log and the challenge of this link.
 *
 * @throws PAM_CLOCK_SKEW, PAM_GATEWAY_REMOVED, PAM_INSTANCE_REFUSED, PAM_TRUST_BEHIND or PAM_TRUST_FORKED when it knows
 *   another log than this router shows.
 */
export async function checkHello(
  hello: LinkParams<'link.hello'>,
  want: { readonly log: LogState; readonly nonce: string; readonly routerPin: string; readonly nowMs: number },
): Promise<{ readonly gateway: LogGateway; readonly publicJwk: Parameters<typeof verifyHello>[1]['poolPublicJwk'] }> {
  const offMs = hello.timeMs - want.nowMs;
  if (Math.abs(offMs) > clockToleranceMs) {
    throw new PamError('PAM_CLOCK_SKEW', `the clock of the instance is ${Math.round(offMs / 1_000)} s off`, {
      detail: { offSeconds: Math.round(offMs / 1_000) },
    });
  }
  const gateway = want.log.gateways.get(hello.gateway);
  // An instance that knows more of the log gives it back and comes again: to a restored router its gateway may be new.
  const shown = want.log.head.n;
  if (gateway === undefined) {
    throw new PamError('PAM_INSTANCE_REFUSED', 'this router does not know the gateway', {
      detail: { gateway: hello.gateway, why: 'unknown-gateway', shown },
    });
  }
  if (gateway.removed)
    throw new PamError('PAM_GATEWAY_REMOVED', 'the gateway was removed', { detail: { gateway: hello.gateway } });
  const proved = await withShown(shown, () =>
    verifyHello(hello.proof, {
      certificate: hello.certificate,
      gateway: hello.gateway,
      poolPublicJwk: gateway.signKey,
      nonce: want.nonce,
      routerPin: want.routerPin,
      nowMs: want.nowMs,
    }),
  );
  if (proved.instance !== hello.instance) {
    throw new PamError('PAM_INSTANCE_REFUSED', 'the certificate names another instance', {
      detail: { why: 'instance' },
    });
  }
  checkHead(want.log, hello.head);
  return { gateway, publicJwk: proved.publicJwk };
}

/** Says with a refusal where this router's log ends: the keys that are refused may be newer than it. */
async function withShown<T>(shown: number, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (reason) {
    if (!(reason instanceof PamError)) throw reason;
    const { code, message, remedy, detail } = reason;
    throw new PamError(code, message, { cause: reason, remedy, detail: { ...detail, shown } });
  }
}
