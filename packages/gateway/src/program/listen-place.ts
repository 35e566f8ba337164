import { PamError } from '@sallyport/protocol';

/** Where an endpoint is served. `port` 0 = any free one. */
export interface ListenPlace {
  readonly host: string;
  readonly port: number;
}

/** Reads `PORT` (on 127.0.0.1) or `HOST:PORT`, an IPv6 address in brackets. @throws PAM_CONFIG_INVALID naming the flag. */
export function readListenPlace(flag: string, text: string): ListenPlace {
  const given = /^(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]{1,253}):)?(\d{1,5})$/.exec(text);
  const port = Number(given?.[2]);
  if (given !== null && port <= 65_535) {
    return { host: (given[1] ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port };
  }
  throw new PamError('PAM_CONFIG_INVALID', `--${flag} is PORT (on 127.0.0.1) or HOST:PORT, not ${text}`);
}
