/**
 * Sockets that have not said what they are. A stranger's silence must not cost more than its own connection: there are
 * at most `most` of them. One too many, and the oldest goes: of the address that has the most, when that is over
 * `perAddress`, else of all. A burst from one address is no offence while there is room.
 */
export class UndecidedSockets<Key> {
  readonly #sockets = new Map<Key, { readonly address: string; readonly sinceMs: number }>();
  readonly #byAddress = new Map<string, Set<Key>>();
  /** Addresses with more than `perAddress`. */
  readonly #greedy = new Set<string>();
  readonly #most: number;
  readonly #perAddress: number;

  constructor(limits: { readonly most: number; readonly perAddress: number }) {
    this.#most = limits.most;
    this.#perAddress = limits.perAddress;
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** Notes a socket; returns the one that must go for it, or null. */
  add(key: Key, address: string, nowMs: number): Key | null {
    this.#sockets.set(key, { address, sinceMs: nowMs });
    this.#join(key, address);
    if (this.#sockets.size <= this.#most) return null;
    const oldest = (this.#greediest() ?? this.#sockets).keys().next();
    if (oldest.done === true) return null;
    this.remove(oldest.value);
    return oldest.value;
  }

  /** It is of another address than it seemed: counted there from now on. */
  move(key: Key, address: string): void {
    const entry = this.#sockets.get(key);
    if (entry === undefined) return;
    this.#leave(key, entry.address);
    this.#sockets.set(key, { ...entry, address });
    this.#join(key, address);
  }

  #greediest(): ReadonlySet<Key> | null {
    let most: ReadonlySet<Key> | null = null;
    for (const address of this.#greedy) {
      const keys = this.#byAddress.get(address);
      if (keys !== undefined && keys.size > (most?.size ?? 0)) most = keys;
    }
    return most;
  }

  #join(key: Key, address: string): void {
    const ofAddress = this.#byAddress.get(address) ?? new Set();
    this.#byAddress.set(address, ofAddress.add(key));
    if (ofAddress.size > this.#perAddress) this.#greedy.add(address);
  }

  remove(key: Key): void {
    const entry = this.#sockets.get(key);
    if (entry === undefined) return;
    this.#sockets.delete(key);
    this.#leave(key, entry.address);
  }

  #leave(key: Key, address: string): void {
    const ofAddress = this.#byAddress.get(address);
    ofAddress?.delete(key);
    if (ofAddress === undefined || ofAddress.size <= this.#perAddress) this.#greedy.delete(address);
    if (ofAddress?.size === 0) this.#byAddress.delete(address);
  }

  /** Takes out those that came at `sinceMs` or before. */
  takeOlder(sinceMs: number): readonly Key[] {
    const old: Key[] = [];
    for (const [key, entry] of this.#sockets) {
      if (entry.sinceMs > sinceMs) break;
      old.push(key);
    }
    for (const key of old) this.remove(key);
    return old;
  }
}
