import ipaddr from 'ipaddr.js';

export type HostText =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'address'; readonly address: string }
  | { readonly kind: 'refused'; readonly why: string };

const maxHostChars = 253;
const label = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const canonicalIpv4 = /^(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}$/;
/** What inet_aton, and so getaddrinfo, takes for a number: decimal, octal, hexadecimal. */
const numberLike = /^(?:\d+|0x[0-9a-f]*)$/;

const refused = (why: string): HostText => ({ kind: 'refused', why });

function ipv6(text: string): HostText {
  if (text.includes('%')) return refused('an address with a zone is not allowed');
  if (/^::\d+\./.test(text)) return refused('the ::a.b.c.d form is deprecated and ambiguous; write the IPv4 address');
  if (!ipaddr.IPv6.isValid(text)) return refused('not an IPv6 address; write it without brackets and port');
  return { kind: 'address', address: ipaddr.IPv6.parse(text).toRFC5952String() };
}

/**
 * Reads the host of a record: a DNS name (letters, digits, hyphen, underscore; one trailing dot is dropped, case is
 * folded, other alphabets as punycode) or an IP literal. Whatever a resolver would take for an address in another
 * notation (`127.1`, `0`, `2852039166`, `0x7f000001`) is refused: it would be looked up as one address and read by
 * people as another.
 *
 * @param text - as sealed in the record or supplied; at most 253 characters.
 * @returns never throws; `refused` says why in words for the user.
 * @see WHATWG URL "ends in a number checker", RFC 5952, docs/adr/0006-gateway-dial-policy.md
 */
export function readHost(text: string): HostText {
  if (text.length === 0 || text.length > maxHostChars) return refused('a host has 1 to 253 characters');
  const folded = text.toLowerCase();
  if (folded.includes(':')) return ipv6(folded);
  const name = folded.endsWith('.') ? folded.slice(0, -1) : folded;
  const labels = name.split('.');
  const last = labels.at(-1) ?? '';
  if (numberLike.test(last)) {
    if (!canonicalIpv4.test(folded) || !ipaddr.IPv4.isValidFourPartDecimal(folded))
      return refused('not a canonical IPv4 address; write four decimal numbers without leading zeros');
    return { kind: 'address', address: folded };
  }
  if (!labels.every((part) => label.test(part)))
    return refused('not a DNS name; write other alphabets as punycode (xn--…)');
  return { kind: 'name', name };
}
