import { toBase64url } from '@sallyport/protocol';

export const defaultPort = 7443;

/** Standard base64 with padding (RFC 4648 section 4), as GATEWAY_CONFIG is written. */
export function base64(bytes: Uint8Array): string {
  const text = toBase64url(bytes).replaceAll('-', '+').replaceAll('_', '/');
  return text + '='.repeat((4 - (text.length % 4)) % 4);
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** HOST:PORT with IPv6 in brackets; undefined when it is not one. Names and IPv4 at most 253 characters. */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})?)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port < 1 || port > 65_535) return undefined;
  return { host, port };
}

export function formatHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
