import { PamError } from '@sallyport/protocol';
import type { ConnectAnswer } from './connect-answer.ts';
import type { Proxy } from './proxy.ts';

const named = ({ shown, from }: Proxy): string => `${shown} (${from})`;

/** The proxy was not reached, or does not behave like one. Nothing was sent to the router. */
export function proxyAway(proxy: Proxy, why: string, cause?: unknown, remedy?: string): PamError {
  return new PamError('PAM_PROXY_UNREACHABLE', `the proxy ${named(proxy)} ${why}`, {
    cause,
    detail: { proxy: proxy.shown, sent: 0 },
    ...(remedy === undefined ? {} : { remedy }),
  });
}

/** What a proxy's refusal means and what to do about it. */
export function proxyRefused(
  proxy: Proxy,
  place: string,
  answer: Extract<ConnectAnswer, { kind: 'answer' }>,
): PamError {
  const { status, reason, schemes } = answer;
  return new PamError(
    'PAM_PROXY_REFUSED',
    `the proxy ${named(proxy)} does not connect to ${place}: ${status}${reason === '' ? '' : ` ${reason}`}`,
    { detail: { proxy: proxy.shown, status, sent: 0 }, ...remedyFor(proxy, place, status, schemes) },
  );
}

function remedyFor(
  proxy: Proxy,
  place: string,
  status: number,
  schemes: readonly string[],
): { readonly remedy?: string } {
  if (status === 407) {
    const takesBasic = schemes.length === 0 || schemes.some((scheme) => scheme.toLowerCase() === 'basic');
    if (!takesBasic) {
      return {
        remedy: `It takes ${schemes.join(', ')} only, and this program can do Basic: use a proxy that takes it, or let this host pass without signing in.`,
      };
    }
    return {
      remedy:
        proxy.authorization === null
          ? `Put user and password into ${proxy.from}: http://USER:PASSWORD@HOST:PORT, with %-escapes for special letters.`
          : `Correct user and password in ${proxy.from}; special letters need %-escapes.`,
    };
  }
  if (status === 403 || status === 405 || status === 501) {
    return {
      remedy: `Ask whoever runs the proxy to allow CONNECT to ${place}; many allow port 443 only, on which a router can listen, too.`,
    };
  }
  if (status === 502 || status === 503 || status === 504) {
    return { remedy: `The proxy cannot reach ${place}: check that the router runs and that the proxy may dial it.` };
  }
  return {};
}
