import type { IncomingHttpHeaders } from 'node:http';
import { type DeviceId, PamError } from '@sallyport/protocol';
import { verifyProof } from '@sallyport/seal';
import type { Clock } from '../clock.ts';
import { hashToken, type IdentityStore, type ReplayCache } from '../identity/index.ts';
import type { TrustLog } from '../trust/index.ts';
import { type Caller, headerOf } from './call.ts';

export interface AuthenticateDeps {
  readonly identity: IdentityStore;
  readonly trust: Pick<TrustLog, 'state'>;
  readonly clock: Clock;
  /** Proofs of signed-in devices, and of anybody: apart, so that strangers cannot fill the first. */
  readonly seen: ReplayCache;
  readonly seenPublic: ReplayCache;
}

interface Asked {
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

function proofOf(headers: IncomingHttpHeaders): string {
  const proof = headerOf(headers, 'dpop');
  if (proof !== null) return proof;
  throw new PamError('PAM_PROOF_INVALID', 'the request carries no proof of possession (DPoP header)', {
    detail: { why: 'missing' },
  });
}

/** The key that signed the DPoP proof of a request without access token (RFC 9449). */
export async function provenKey(deps: AuthenticateDeps, asked: Asked): Promise<DeviceId> {
  const nowSeconds = Math.floor(deps.clock.nowMs() / 1_000);
  const proof = await verifyProof(proofOf(asked.headers), { method: asked.method, url: asked.path, nowSeconds });
  deps.seenPublic.use(`${proof.jkt}.${proof.jti}`);
  return proof.jkt;
}

/**
 * Who calls: the access token must be alive and the proof signed, now, for this request, by the key it is bound to.
 *
 * @throws PAM_NOT_SIGNED_IN, PAM_PROOF_INVALID
 */
export async function authenticate(deps: AuthenticateDeps, asked: Asked): Promise<Caller> {
  const [scheme, accessToken, more] = headerOf(asked.headers, 'authorization')?.split(' ') ?? [];
  if (scheme !== 'DPoP' || accessToken?.length !== 43 || more !== undefined) {
    throw new PamError('PAM_NOT_SIGNED_IN', 'the request carries no access token');
  }
  const nowMs = deps.clock.nowMs();
  const tokenHash = hashToken(accessToken);
  const signIn = await deps.identity.findSignIn({ tokenHash, nowMs });
  if (signIn === null) throw new PamError('PAM_NOT_SIGNED_IN', 'the sign-in has expired or was ended');
  const proof = await verifyProof(proofOf(asked.headers), {
    method: asked.method,
    url: asked.path,
    nowSeconds: Math.floor(nowMs / 1_000),
    accessToken,
  });
  if (proof.jkt !== signIn.device) {
    throw new PamError('PAM_PROOF_INVALID', 'the proof was signed by another key than the sign-in is bound to', {
      detail: { why: 'other-key' },
    });
  }
  deps.seen.use(`${proof.jkt}.${proof.jti}`);
  const device = deps.trust.state().devices.get(signIn.device);
  if (device?.removed === true) throw new PamError('PAM_DEVICE_UNKNOWN', 'this device was removed from the trust log');
  return {
    person: signIn.person,
    device: signIn.device,
    tokenHash,
    expiresAtMs: signIn.expiresAtMs,
    inLog: device?.person === signIn.person,
  };
}
