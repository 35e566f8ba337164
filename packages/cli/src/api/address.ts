import { isIP } from 'node:net';
import { PamError } from '@sallyport/protocol';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** The router's port when none is given. */
export const defaultRouterPort = 7443;

/**
 * Reads `HOST`, `HOST:PORT`, `[IPv6]` or `[IPv6]:PORT`. PAM_USAGE naming what is wrong.
 *
 * @param defaultPort - when absent, a port must be given.
 */
export function parseAddress(text: string, defaultPort?: number): Address {
  const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9_.-]{1,253}))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) throw usage(text, 'is not HOST:PORT (IPv6 goes in brackets)');
  const [, v6, name, digits] = match;
  if (v6 !== undefined && isIP(v6) !== 6) throw usage(text, 'has no IPv6 address in its brackets');
  const port = digits === undefined ? defaultPort : Number(digits);
  if (port === undefined) throw usage(text, 'names no port');
  if (port < 1 || port > 65_535) throw usage(text, 'has a port outside 1–65535');
  return { host: v6 ?? name ?? '', port };
}

/** `HOST:PORT`, IPv6 in brackets. */
export function formatAddress(address: Address): string {
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}

function usage(text: string, why: string): PamError {
  return new PamError('PAM_USAGE', `“${text}” ${why}`);
}
