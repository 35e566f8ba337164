import { BlockList, isIP } from 'node:net';

/** Hosts that are reached without the proxy. */
export interface NoProxy {
  has(host: string, port: number): boolean;
}

const textMost = 16_384;
const entriesMost = 512;

/**
 * Reads NO_PROXY the way curl and most programs do: entries between commas or blanks, case does not matter.
 *
 * - `example.com`, `.example.com`, `*.example.com`: that name and every name below it
 * - `10.0.0.5`, `fd00::1`: that address; `10.0.0.0/8`, `fd00::/8`: every address in it, of hosts given as addresses only
 * - `HOST:PORT`, `[IPV6]:PORT`: on that port only; `*`: everything
 *
 * Loopback (`localhost`, 127.0.0.0/8, ::1) is always exempt: a proxy's loopback is another one. An entry that is none of
 * these exempts nothing; what is beyond 512 entries or 16 KiB is not read.
 */
export function readNoProxy(text: string): NoProxy {
  const entries = text
    .slice(0, textMost)
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .slice(0, entriesMost)
    .map(readEntry)
    .filter((entry) => entry !== null);
  return {
    has: (host, port) => {
      const wanted = readHost(host);
      return isLoopback(wanted) || entries.some((entry) => entry(wanted, port));
    },
  };
}

type Entry = (host: Host, port: number) => boolean;
interface Host {
  /** Lower case, without a final dot; addresses without brackets, IPv4 in IPv6 as IPv4. */
  readonly text: string;
  readonly family: 0 | 4 | 6;
}

function readHost(text: string): Host {
  const bare = text.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(bare)?.[1];
  const address = mapped ?? bare;
  const family = isIP(address) as 0 | 4 | 6;
  return { text: family === 0 ? address.replace(/\.$/, '') : address, family };
}

function readEntry(entry: string): Entry | null {
  if (entry === '*') return () => true;
  if (entry.includes('/')) return readSubnet(entry);
  const [, v6, plain, digits] = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(entry) ?? [];
  const name = v6 ?? plain ?? entry;
  const onPort = digits === undefined ? null : Number(digits);
  const is = matcherOf(readHost(name.replace(/^\*?\./, '')));
  return is === null ? null : (host, port) => (onPort === null || onPort === port) && is(host);
}

function matcherOf(named: Host): ((host: Host) => boolean) | null {
  if (named.family !== 0) {
    const addresses = new BlockList();
    addresses.addAddress(named.text, named.family === 4 ? 'ipv4' : 'ipv6');
    return (host) => isIn(addresses, host);
  }
  if (!/^[a-z0-9_.-]{1,253}$/.test(named.text)) return null;
  return ({ text, family }) => family === 0 && (text === named.text || text.endsWith(`.${named.text}`));
}

function readSubnet(entry: string): Entry | null {
  const [, address = '', digits] = /^([^/]+)\/(\d{1,3})$/.exec(entry) ?? [];
  const base = readHost(address);
  const bits = Number(digits);
  if (base.family === 0 || !(bits <= (base.family === 4 ? 32 : 128))) return null;
  const subnet = new BlockList();
  subnet.addSubnet(base.text, bits, base.family === 4 ? 'ipv4' : 'ipv6');
  return (host) => isIn(subnet, host);
}

function isIn(list: BlockList, host: Host): boolean {
  return host.family !== 0 && list.check(host.text, host.family === 4 ? 'ipv4' : 'ipv6');
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

function isLoopback(host: Host): boolean {
  return isIn(loopback, host) || host.text === 'localhost' || (host.family === 0 && host.text.endsWith('.localhost'));
}
