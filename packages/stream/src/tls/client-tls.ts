import type { Duplex } from 'node:stream';
import { connect, type SecureContext, type TLSSocket } from 'node:tls';
import { type InstanceId, PamError } from '@sallyport/protocol';
import { breakTls } from './break-tls.ts';
import { completeHandshake, type Patience } from './handshake.ts';
import { streamProtocol } from './stream-context.ts';

export interface SecuredLeg {
  readonly tls: TLSSocket;
  readonly instance: InstanceId;
}

/**
 * The client's side of end-to-end TLS: no CA store takes part, the certificate is judged by `verifyInstance` before a
 * byte is written or read, so that `NODE_TLS_REJECT_UNAUTHORIZED=0` changes nothing. No session is ever offered.
 *
 * @throws PAM_INSTANCE_UNVERIFIED, PAM_STREAM_LOST, PAM_TIMEOUT, or what `verifyInstance` threw. The leg is destroyed.
 */
export async function secureClientLeg(options: {
  readonly leg: Duplex;
  readonly context: SecureContext;
  readonly verifyInstance: (certificateDer: Uint8Array) => InstanceId | Promise<InstanceId>;
  readonly patience: Patience;
}): Promise<SecuredLeg> {
  const { leg, context, patience } = options;
  const tls = connect({
    socket: leg,
    secureContext: context,
    rejectUnauthorized: false,
    ALPNProtocols: [streamProtocol],
  });
  await completeHandshake(tls, leg, 'secureConnect', patience, (reason) => unverified(reason.code ?? 'tls', reason));
  try {
    if (tls.getProtocol() !== 'TLSv1.3') throw unverified('tls-version');
    if (tls.alpnProtocol !== streamProtocol) throw unverified('alpn');
    if (tls.isSessionReused()) throw unverified('session-reused');
    const certificate = tls.getPeerX509Certificate();
    if (certificate === undefined) throw unverified('no-certificate');
    return { tls, instance: await options.verifyInstance(certificate.raw) };
  } catch (reason) {
    breakTls(tls, leg);
    throw PamError.from(reason, 'PAM_INSTANCE_UNVERIFIED', 'the certificate of the instance could not be judged');
  }
}

function unverified(why: string, cause?: unknown): PamError {
  return new PamError('PAM_INSTANCE_UNVERIFIED', `the far end is not an instance of this gateway (${why})`, {
    cause,
    detail: { why },
  });
}
