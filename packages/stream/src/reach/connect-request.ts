import { isIPv6 } from 'node:net';
import { PamError } from '@sallyport/protocol';

/**
 * The bytes that ask a proxy for a connection (RFC 9110, section 9.3.6).
 *
 * @param router - an address, or a name of letters, digits, `.`, `-` and `_`: nothing that could end the line.
 * @param authorization - value of Proxy-Authorization, or null.
 * @throws PAM_CONFIG_INVALID when the router's name is none.
 */
export function connectRequest(
  router: { readonly host: string; readonly port: number },
  authorization: string | null,
): Uint8Array {
  const { host, port } = router;
  const isName = /^[A-Za-z0-9_.-]{1,253}$/.test(host);
  if (!isName && !isIPv6(host)) {
    throw new PamError('PAM_CONFIG_INVALID', 'the name of the router holds letters that no host name has', {
      remedy: 'Give the router as HOST:PORT, with an IPv6 address in brackets.',
    });
  }
  const place = `${isName ? host : `[${host}]`}:${port}`;
  const lines = [`CONNECT ${place} HTTP/1.1`, `Host: ${place}`, 'User-Agent: sallyport'];
  if (authorization !== null) lines.push(`Proxy-Authorization: ${authorization}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}
