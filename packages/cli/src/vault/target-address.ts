import { isIP } from 'node:net';
import { PamError } from '@sallyport/protocol';
import ipaddr from 'ipaddr.js';

/** What the text of a target's host is. */
export type TargetHost =
  | { readonly kind: 'name' }
  /** Anything but public unicast: dialled only when a configuration lists its network. */
  | { readonly kind: 'address'; readonly special: boolean };

/**
 * Reads the host of a target: a DNS name, or an address in its canonical form. PAM_USAGE for addresses in
 * disguise (`127.1`, `0`, `2852039166`, `0x7f000001`): two programs read them as two addresses.
 */
export function readTargetHost(host: string): TargetHost {
  if (isIP(host) !== 0)
    return { kind: 'address', special: unwrap(ipaddr.parse(host)).range() !== 'unicast' || isWrapped(host) };
  if (
    /^[\d.]+$|^0x|:/i.test(host) ||
    host.split('.').some((label) => /^0x[\da-f]*$/i.test(label)) ||
    /(^|\.)\d+$/.test(host)
  ) {
    throw new PamError('PAM_USAGE', `“${host}” is an address in a form that programs read differently`, {
      remedy: 'Write four decimal numbers (10.0.0.5) or a full IPv6 address.',
      detail: { host },
    });
  }
  const labels = host.replace(/\.$/, '').split('.');
  const named =
    host.length <= 253 && labels.every((label) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label));
  if (named) return { kind: 'name' };
  throw new PamError('PAM_USAGE', `“${host}” is neither a host name nor an address`);
}

/**
 * Says at once what the gateway would say later: a literal special address outside the networks of the record's PAM
 * configuration. PAM_TARGET_NOT_ALLOWED with the command that lists the network.
 */
export function checkTarget(
  host: string,
  configuration: { readonly title: string; readonly networks: readonly string[] } | null,
): void {
  const read = readTargetHost(host);
  if (read.kind === 'name' || !read.special) return;
  if (configuration?.networks.some((network) => isInside(host, network)) === true) return;
  const cidr = suggestedNetwork(host);
  throw new PamError(
    'PAM_TARGET_NOT_ALLOWED',
    `${host} is a ${unwrap(ipaddr.parse(host)).range()} address outside the networks of ${configuration === null ? 'any PAM configuration: the record has none' : `“${configuration.title}”`}`,
    {
      remedy:
        configuration === null
          ? 'Give the record a PAM configuration with -c that lists its network.'
          : `If it is meant, run pam config edit ${quoted(configuration.title)} --network ${cidr} .`,
      detail: { host, network: cidr },
    },
  );
}

/** The network of exactly this address. */
export function suggestedNetwork(host: string): string {
  return `${host}/${isIP(host) === 6 ? 128 : 32}`;
}

/** Whether `host` is an address that is dialled only from a listed network. */
export function isSpecialAddress(host: string): boolean {
  const read = readTargetHost(host);
  return read.kind === 'address' && read.special;
}

/** PAM_USAGE unless `text` is a CIDR whose address is the network's own first one. */
export function checkNetwork(text: string): string {
  try {
    const [address, bits] = ipaddr.parseCIDR(text);
    const first =
      address.kind() === 'ipv4' ? ipaddr.IPv4.networkAddressFromCIDR(text) : ipaddr.IPv6.networkAddressFromCIDR(text);
    if (first.toString() !== address.toString()) {
      throw new PamError(
        'PAM_USAGE',
        `${text} has bits set outside its prefix; ${first.toString()}/${bits} is the network`,
      );
    }
    return text;
  } catch (reason) {
    throw PamError.from(reason, 'PAM_USAGE', `“${text}” is not a network such as 10.0.0.0/8`);
  }
}

function isInside(host: string, network: string): boolean {
  const address = ipaddr.parse(host);
  const [base, bits] = ipaddr.parseCIDR(network);
  if (address.kind() === base.kind()) return address.match(base, bits);
  const inner = unwrap(address);
  return inner.kind() === base.kind() && inner.match(base, bits);
}

function isWrapped(host: string): boolean {
  return unwrap(ipaddr.parse(host)).kind() !== ipaddr.parse(host).kind();
}

/** The IPv4 address inside a mapped IPv6 one. */
function unwrap(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4 | ipaddr.IPv6 {
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

function quoted(title: string): string {
  return /^[\w.@-]+$/.test(title) ? title : `'${title.replaceAll("'", String.raw`'\''`)}'`;
}
