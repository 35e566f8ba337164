import { constants, createHash, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { PamError, toBase64url } from '@sallyport/protocol';

/** Version 1 of everything inside the end-to-end TLS. */
export const streamProtocol = 'sallyport/1';

/**
 * The TLS settings of one end: TLS 1.3 only, its own certificate, AES-128-GCM preferred, no tickets. Groups are
 * OpenSSL's own choice, which is X25519MLKEM768 where both ends are Node. Make one per process and identity (0.3 ms).
 *
 * @throws PAM_INTERNAL when certificate and key do not belong together.
 */
export function createStreamContext(identity: {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}): SecureContext {
  try {
    return createSecureContext({
      cert: identity.certificatePem,
      key: identity.privateKeyPem,
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
      secureOptions: constants.SSL_OP_NO_TICKET,
    });
  } catch (reason) {
    throw PamError.from(reason, 'PAM_INTERNAL', 'the certificate and the key of this end do not belong together');
  }
}

/** base64url SHA-256 of the certificate's SubjectPublicKeyInfo: what a session request names as `cnf`. */
export function certificateThumbprint(der: Uint8Array): string {
  return thumbprintOf(new X509Certificate(der));
}

export function thumbprintOf(certificate: X509Certificate): string {
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return toBase64url(createHash('sha256').update(spki).digest());
}
