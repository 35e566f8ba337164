/**
 * What a host of a network lab does to packets. `in` is what comes to the host, `out` what leaves it, from or to `peer`
 * (an IPv4 address), or everybody. Traffic of the host with itself is never touched.
 */
export interface PacketFault {
  /** `drop` says nothing; `reset` answers TCP with a reset; `unreachable` says that there is no way to the host. */
  readonly kind: 'drop' | 'reset' | 'unreachable';
  readonly direction: 'in' | 'out';
  readonly peer?: string;
  /** Of 100 packets, by chance, as many are hit; all when absent. */
  readonly percent?: number;
}

/** Nothing passes between the host and `peer` (or anybody), and nobody is told. */
export function silence(peer?: string): readonly PacketFault[] {
  return [oneWay('in', peer), oneWay('out', peer)];
}

/** The same one way. */
export function oneWay(direction: PacketFault['direction'], peer?: string): PacketFault {
  return { kind: 'drop', direction, ...(peer === undefined ? {} : { peer }) };
}

/** Loses `percent` of 100 packets each way. */
export function loss(percent: number, peer?: string): readonly PacketFault[] {
  return silence(peer).map((fault) => ({ ...fault, percent }));
}

const verdicts = {
  drop: 'drop',
  reset: 'meta l4proto tcp reject with tcp reset',
  unreachable: 'meta nfproto ipv4 reject with icmp type host-unreachable',
} as const;

const table = 'inet sallyport';
/** Name of the one interface of a host besides `lo`. */
export const hostInterface = 'eth0';

/**
 * nftables text that puts exactly these faults in force, in one transaction; none at all: everything passes.
 *
 * @throws when a peer is no IPv4 address or a percentage is not between 1 and 100: nft must be given no other text.
 */
export function rulesetOf(faults: readonly PacketFault[]): string {
  const chain = (direction: PacketFault['direction'], hook: string): readonly string[] => [
    `chain ${direction} {`,
    `type filter hook ${hook} priority 0;`,
    ...faults.filter((fault) => fault.direction === direction).map(ruleOf),
    '}',
  ];
  // The table is made before it is deleted: the first time there is none.
  const body = [...chain('in', 'input'), ...chain('out', 'output')];
  return [`table ${table}`, `delete table ${table}`, `table ${table} {`, ...body, '}', ''].join('\n');
}

function ruleOf({ kind, direction, peer, percent }: PacketFault): string {
  const place = direction === 'in' ? `iifname "${hostInterface}"` : `oifname "${hostInterface}"`;
  const parts = [place];
  if (peer !== undefined) {
    if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(peer)) throw new Error(`a peer is an IPv4 address, not ${peer}`);
    parts.push(`ip ${direction === 'in' ? 'saddr' : 'daddr'} ${peer}`);
  }
  if (percent !== undefined) {
    if (!Number.isInteger(percent) || percent < 1 || percent > 100) throw new Error(`percent is 1 to 100: ${percent}`);
    parts.push(`numgen random mod 100 < ${percent}`);
  }
  parts.push(verdicts[kind]);
  return parts.join(' ');
}
