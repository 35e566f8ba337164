import type { Duplex } from 'node:stream';
import { timingSafeEqual, type X509Certificate } from 'node:crypto';
import { type SecureContext, TLSSocket } from 'node:tls';
import { PamError } from '@sallyport/protocol';
import { completeHandshake, type Patience } from './handshake.ts';
import { streamProtocol, thumbprintOf } from './stream-context.ts';

/** How far a client's clock may be ahead of ours: its certificate then begins in our future. */
const clockToleranceMs = 300_000;

/** What the judge needs of a TLS connection; a test gives a fake. */
export interface ClientEvidence {
  getProtocol(): string | null;
  isSessionReused(): boolean;
  getPeerX509Certificate(): X509Certificate | undefined;
  readonly alpnProtocol: string | false | null;
}

/**
 * The instance's side of end-to-end TLS.
 *
 * @throws PAM_STREAM_PROTOCOL when TLS itself failed (version, ALPN, rubbish), PAM_STREAM_LOST, PAM_TIMEOUT. The leg is
 * destroyed. The client is not judged yet: see `judgeClient`.
 */
export async function secureInstanceLeg(leg: Duplex, context: SecureContext, patience: Patience): Promise<TLSSocket> {
  const tls = new TLSSocket(leg, {
    isServer: true,
    secureContext: context,
    requestCert: true,
    rejectUnauthorized: false,
    ALPNProtocols: [streamProtocol],
  });
  await completeHandshake(tls, leg, 'secure', patience, (reason) => {
    const why = reason.code ?? 'tls';
    return new PamError('PAM_STREAM_PROTOCOL', `the client's TLS handshake was refused (${why})`, {
      cause: reason,
      detail: { why },
    });
  });
  return tls;
}

/**
 * Is the client the holder of the session key that the signed request names?
 *
 * @param sessionKey - base64url SHA-256 of the key's SPKI, from the request's `cnf`.
 * @returns null, or PAM_REQUEST_INVALID saying what is wrong. Nothing of the target's may be touched then.
 */
export function judgeClient(tls: ClientEvidence, sessionKey: string, wallMs: number): PamError | null {
  if (tls.getProtocol() !== 'TLSv1.3') return refused('tls-version', 'the client does not speak TLS 1.3');
  if (tls.alpnProtocol !== streamProtocol) return refused('alpn', `the client did not ask for ${streamProtocol}`);
  if (tls.isSessionReused()) return refused('session-reused', 'the client resumed a TLS session');
  const certificate = tls.getPeerX509Certificate();
  if (certificate === undefined) return refused('no-certificate', 'the client showed no certificate');
  const shown = Buffer.from(thumbprintOf(certificate));
  const wanted = Buffer.from(sessionKey);
  if (shown.length !== wanted.length || !timingSafeEqual(shown, wanted)) {
    return refused('other-key', 'the client does not hold the session key that the request names');
  }
  if (certificate.validToDate.getTime() < wallMs)
    return refused('expired', 'the certificate of the client has expired');
  if (certificate.validFromDate.getTime() > wallMs + clockToleranceMs) {
    return refused('not-yet-valid', 'the certificate of the client is not valid yet');
  }
  return null;
}

function refused(why: string, message: string): PamError {
  return new PamError('PAM_REQUEST_INVALID', message, { detail: { why } });
}
