import { PamError } from '@sallyport/protocol';

/** An HTTP proxy that is asked to CONNECT to the router. */
export interface Proxy {
  /** TLS to the proxy itself (`https://`); its certificate is checked against the authorities Node knows. */
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  /** Value of Proxy-Authorization, or null. A secret: never shown, never logged. */
  readonly authorization: string | null;
  /** `http://HOST:PORT`, without user and password: the only form that is shown. */
  readonly shown: string;
  /** Which setting named it. */
  readonly from: string;
}

const textMost = 2_048;
const usualPort = { 'http:': 80, 'https:': 443 } as const;
const form = 'http://[USER:PASSWORD@]HOST[:PORT], or https:// of that form';

/**
 * Reads a proxy from its URL; without a scheme it is `http://`, as curl has it.
 *
 * @param from - name of the setting, for messages.
 * @throws PAM_CONFIG_INVALID; the text is not repeated, it may hold a password.
 */
export function readProxy(text: string, from: string): Proxy {
  const invalid = (why: string): PamError =>
    new PamError('PAM_CONFIG_INVALID', `the proxy of ${from} ${why}`, {
      detail: { setting: from },
      remedy: `Give it as ${form}; none switches it off.`,
    });
  if (text.length > textMost) throw invalid(`is over ${textMost} characters`);
  const whole = /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(text) ? text : `http://${text}`;
  const url = URL.canParse(whole) ? new URL(whole) : null;
  if (url === null) throw invalid('is not a URL');
  const { protocol } = url;
  if (protocol !== 'http:' && protocol !== 'https:') {
    throw invalid(`has the scheme ${protocol.slice(0, 16)}// – only HTTP proxies are spoken to`);
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (host === '') throw invalid('names no host');
  const port = url.port === '' ? usualPort[protocol] : Number(url.port);
  if (port < 1) throw invalid('has a port outside 1–65535');
  return {
    secure: protocol === 'https:',
    host,
    port,
    authorization: authorizationOf(url, invalid),
    shown: `${protocol}//${url.hostname}:${port}`,
    from,
  };
}

function authorizationOf(url: URL, invalid: (why: string) => PamError): string | null {
  if (url.username === '' && url.password === '') return null;
  const [user, password] = [decoded(url.username), decoded(url.password)];
  if (user === null || password === null) throw invalid('has a user or password with a stray %');
  // RFC 7617, section 2: no colon in the user, no control characters in either.
  if (user.includes(':') || hasControl(user) || hasControl(password)) {
    throw invalid('has a user with a colon, or control characters in user or password');
  }
  return `Basic ${Buffer.from(`${user}:${password}`, 'utf8').toString('base64')}`;
}

function decoded(part: string): string | null {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}

function hasControl(text: string): boolean {
  return /\p{Cc}/u.test(text);
}
