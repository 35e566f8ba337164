/**
 * One text for all ways of writing one address: letters in lower case, a name without its last dot and in Punycode, an IP
 * address in its shortest form, an IPv4 address inside IPv6 as what it is. Two names of one server stay two: only the
 * server could tell, and a copied machine shows the same key as its original.
 *
 * @param host - name or IP address as a record has it, with or without brackets; what is none of them stays as it is, in
 *   lower case.
 * @see WHATWG URL, host parsing (IPv4 numbers as inet_aton takes them, IPv6 compressed as in RFC 5952).
 */
export function serverName(host: string, port: number): string {
  const plain = host.toLowerCase();
  const bare = plain.startsWith('[') && plain.endsWith(']') ? plain.slice(1, -1) : plain;
  const text = bare.includes(':') ? `http://[${bare}]` : `http://${bare}`;
  const url = URL.canParse(text) ? new URL(text) : null;
  const isOnlyHost = url !== null && url.href === `http://${url.host}/` && url.hostname !== '';
  const name = isOnlyHost ? url.hostname.replace(/\.$/, '') : bare;
  return `${mappedIpv4(name) ?? name}:${port}`;
}

/** `[::ffff:7f00:1]` → `127.0.0.1`; null for anything else. */
function mappedIpv4(name: string): string | null {
  const [, high, low] = /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/.exec(name) ?? [];
  if (high === undefined || low === undefined) return null;
  const [a, b] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return `${a >> 8}.${a & 255}.${b >> 8}.${b & 255}`;
}
