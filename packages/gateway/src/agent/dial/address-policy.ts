import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Network = readonly [Address, number];

/** An endpoint that is never dialled, whatever the records say. */
export interface NeverEndpoint {
  readonly address: string;
  readonly port: number;
  readonly why: 'own-listener' | 'router';
}
export interface AddressPolicy {
  /** CIDRs of the PAM configuration, as sealed in it. One that does not parse allows nothing. */
  readonly networks: readonly string[];
  /** A supplied host must lie inside `networks` even when its address is an ordinary public one. */
  readonly onlyInside: boolean;
  readonly never: readonly NeverEndpoint[];
  /** Addresses of this host's own interfaces: an endpoint on one of them is meant on all of them. */
  readonly localAddresses: readonly string[];
}
export type AddressDecision =
  | { readonly kind: 'allowed'; readonly address: string }
  | {
      readonly kind: 'denied';
      readonly why: 'not-an-address' | 'metadata' | 'own-listener' | 'router' | 'special' | 'outside';
    };

/** Cloud metadata and credential services; never dialled. Sources: the documentation of each provider. */
const metadataAddresses: ReadonlySet<string> = new Set([
  '169.254.169.254', // AWS, Azure, Google, DigitalOcean, Oracle
  '169.254.169.253', // AWS resolver
  '169.254.170.2', // AWS ECS task credentials
  '169.254.170.23', // AWS EKS pod identity
  '168.63.129.16', // Azure wire server
  '100.100.100.200', // Alibaba
  '192.0.0.192', // Oracle classic
  'fd00:ec2::254', // AWS
  'fd00:ec2::23', // AWS EKS pod identity
  'fd20:ce::254', // Google
]);

/** `::1.2.3.4`: the library reads it as IPv4-mapped, the kernel as the deprecated IPv4-compatible form. */
const ambiguous = /^::\d+\./;

function parse(text: string): Address | null {
  if (text.includes('%') || ambiguous.test(text) || !ipaddr.isValid(text)) return null;
  const address = ipaddr.parse(text);
  if (address instanceof ipaddr.IPv4) return ipaddr.IPv4.isValidFourPartDecimal(text) ? address : null;
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

const canonical = (address: Address): string =>
  address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString();

const ipv4At = (bytes: readonly number[], at: number, mask = 0): ipaddr.IPv4 =>
  new ipaddr.IPv4(bytes.slice(at, at + 4).map((byte) => byte ^ mask));

/** IPv4 addresses that packets to an IPv6 address of a transition mechanism end up at (RFC 4291, 6052, 3056, 4380, 5214). */
function embedded(address: Address): readonly ipaddr.IPv4[] {
  if (address instanceof ipaddr.IPv4) return [];
  const bytes = address.toByteArray();
  const range = address.range();
  if (range === 'rfc6052' || range === 'rfc6145') return [ipv4At(bytes, 12)];
  if (range === '6to4') return [ipv4At(bytes, 2)];
  if (range === 'teredo') return [ipv4At(bytes, 4), ipv4At(bytes, 12, 0xff)];
  if (range === 'unicast' && bytes.slice(0, 12).every((byte) => byte === 0)) return [ipv4At(bytes, 12)];
  const isatap = (bytes[8] === 0 || bytes[8] === 2) && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe;
  return isatap ? [ipv4At(bytes, 12)] : [];
}

const isSpecial = (address: Address): boolean => address.range() !== 'unicast' || embedded(address).length > 0;

function readNetwork(text: string): Network | null {
  return ipaddr.isValidCIDR(text) ? ipaddr.parseCIDR(text) : null;
}

function inside(address: Address, networks: readonly Network[]): boolean {
  return networks.some(([base, bits]) => base.kind() === address.kind() && address.match(base, bits));
}

function neverWhy(address: Address, port: number, policy: AddressPolicy): 'metadata' | NeverEndpoint['why'] | null {
  if (metadataAddresses.has(canonical(address))) return 'metadata';
  const local = new Set(
    policy.localAddresses
      .map((text) => parse(text))
      .filter((own) => own !== null)
      .map(canonical),
  );
  const isLocal = (it: Address): boolean =>
    it.range() === 'loopback' || it.range() === 'unspecified' || local.has(canonical(it));
  for (const endpoint of policy.never) {
    if (endpoint.port !== port) continue;
    const forbidden = parse(endpoint.address);
    if (forbidden === null) continue;
    if (canonical(forbidden) === canonical(address) || (isLocal(forbidden) && isLocal(address))) return endpoint.why;
  }
  return null;
}

/**
 * Decides whether one resolved address may be dialled.
 *
 * A1 metadata services, the instance's own listeners and the router are denied whatever the configuration lists.
 * A2 a special address (everything that is not ordinary unicast, and every address that carries an IPv4 address inside)
 *    is allowed only inside a listed network, and so is each address inside it.
 * A3 IPv4-mapped addresses are judged and dialled as the IPv4 address they stand for.
 *
 * @param address - an IP literal as the resolver gave it; anything else is denied.
 * @returns `allowed` with the canonical text of the address that was judged: dial that, resolve nothing again.
 * @see docs/adr/0006-gateway-dial-policy.md
 */
export function decideAddress(address: string, port: number, policy: AddressPolicy): AddressDecision {
  const judged = parse(address);
  if (judged === null) return { kind: 'denied', why: 'not-an-address' };
  const networks = policy.networks.map(readNetwork).filter((network) => network !== null);
  const all = [judged, ...embedded(judged)];
  for (const each of all) {
    const why = neverWhy(each, port, policy);
    if (why !== null) return { kind: 'denied', why };
  }
  if (all.some((each) => isSpecial(each) && !inside(each, networks))) return { kind: 'denied', why: 'special' };
  if (policy.onlyInside && !inside(judged, networks)) return { kind: 'denied', why: 'outside' };
  return { kind: 'allowed', address: canonical(judged) };
}
