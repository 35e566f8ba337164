import { isIPv4, isIPv6, SocketAddress } from 'node:net';

/** What a balancer says in front of a connection: where it really comes from. */
export type ProxyHeader =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'refused'; readonly why: 'no-header' | 'malformed' | 'too-long' }
  /** `address` null: the connection is the balancer's own (a health check), or of a kind without addresses. */
  | { readonly kind: 'header'; readonly address: string | null; readonly length: number };

/** Version 1 is one line of at most so many bytes, by its specification. */
const lineMostBytes = 107;
/** Version 2 could be 64 KiB; addresses and the fields in use need a few hundred. */
export const headerMostBytes = 1_040;
const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const fixedBytes = 16;
const lineStart = Buffer.from('PROXY ', 'latin1');

/**
 * Reads a PROXY protocol header, version 1 or 2, from the first bytes of a connection. Decides as soon as it can and
 * never looks beyond the header.
 *
 * @see https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt
 */
export function readProxyHeader(bytes: Uint8Array): ProxyHeader {
  const have = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (have.length === 0) return { kind: 'incomplete' };
  if (startsLike(have, lineStart)) return have.length < lineStart.length ? { kind: 'incomplete' } : readLine(have);
  if (startsLike(have, signature)) return have.length < fixedBytes ? { kind: 'incomplete' } : readBinary(have);
  return { kind: 'refused', why: 'no-header' };
}

/** True when these bytes begin a header, as far as there are any: for telling who sends one that may not. */
export function looksLikeProxyHeader(bytes: Uint8Array): boolean {
  const have = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return have.length >= 4 && (startsLike(have, lineStart) || startsLike(have, signature));
}

function startsLike(have: Buffer, wanted: Buffer): boolean {
  const length = Math.min(have.length, wanted.length);
  return have.subarray(0, length).equals(wanted.subarray(0, length));
}

function readLine(have: Buffer): ProxyHeader {
  const end = have.subarray(0, lineMostBytes).indexOf('\r\n');
  if (end < 0) return have.length >= lineMostBytes ? { kind: 'refused', why: 'too-long' } : { kind: 'incomplete' };
  const length = end + 2;
  const line = have.toString('latin1', 0, end);
  if (/^PROXY UNKNOWN(?: .*)?$/.test(line)) return { kind: 'header', address: null, length };
  const [, family, source = '', destination = '', ...ports] =
    /^PROXY TCP([46]) (\S+) (\S+) (\d{1,5}) (\d{1,5})$/.exec(line) ?? [];
  const isAddress = family === '4' ? isIPv4 : isIPv6;
  const isGood = family !== undefined && [source, destination].every((one) => isAddress(one) && !one.includes('%'));
  if (!isGood || ports.some((port) => Number(port) > 65_535)) return { kind: 'refused', why: 'malformed' };
  return { kind: 'header', address: usualForm(source), length };
}

function readBinary(have: Buffer): ProxyHeader {
  const version = have[12] ?? 0;
  const family = have[13] ?? 0;
  const more = have.readUInt16BE(14);
  const command = version & 0x0f;
  if (version >> 4 !== 2 || command > 1) return { kind: 'refused', why: 'malformed' };
  const addresses = command === 0 ? 0 : ({ 0x11: 12, 0x21: 36 }[family] ?? 0);
  if (more < addresses) return { kind: 'refused', why: 'malformed' };
  const length = fixedBytes + more;
  if (length > headerMostBytes) return { kind: 'refused', why: 'too-long' };
  if (have.length < length) return { kind: 'incomplete' };
  if (addresses === 0) return { kind: 'header', address: null, length };
  const source = have.subarray(fixedBytes, fixedBytes + (family === 0x11 ? 4 : 16));
  return { kind: 'header', address: usualForm(textOf(source)), length };
}

function textOf(address: Buffer): string {
  if (address.length === 4) return address.join('.');
  return Array.from({ length: 8 }, (_, at) => address.readUInt16BE(at * 2).toString(16)).join(':');
}

/** One form per address, so that limits and brakes count it once; IPv4 in IPv6 is IPv4. */
function usualForm(text: string): string {
  const { address } = new SocketAddress({ address: text, family: isIPv4(text) ? 'ipv4' : 'ipv6' });
  return address.replace(/^::ffff:(?=\d+\.)/, '');
}
