const rememberedAddresses = 20_000;

/** Addresses that instances were admitted from. */
export interface KnownAddresses {
  remember(address: string): void;
  has(address: string): boolean;
}

/** At most 20,000. */
export function createKnownAddresses(): KnownAddresses {
  const known = new Set<string>();

  /** Those at whose door a flood would stand between us and our instances; the oldest goes when there are too many. */
  function remember(address: string): void {
    known.delete(address);
    known.add(address);
    const [oldest] = known.size > rememberedAddresses ? known : [];
    if (oldest !== undefined) known.delete(oldest);
  }

  return { remember, has: (address) => known.has(address) };
}
