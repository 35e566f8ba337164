import type {
  ApplicationUid,
  Item,
  ItemType,
  ItemUid,
  KeyPart,
  KeyWrap,
  Part,
  PartEnvelope,
  WriteItem,
} from '@sallyport/protocol';

/** One stored revision of one part. */
interface ItemVersion extends PartEnvelope {
  readonly part: Part;
  /** Device (thumbprint) or instance that wrote it, as the router saw it. */
  readonly author: string;
  readonly atMs: number;
}

/**
 * Items (records, configurations, names of applications and gateways), every revision of their parts, and wraps of
 * keys. Every method is one transaction. The store sees envelopes and mirrors only.
 */
export interface VaultStore {
  /**
   * Creates or changes items, all or none. Each part's `rev` must be the stored one plus 1 (1 at first), else
   * PAM_CONFLICT naming uid, part and both revisions; type and application never change; a removed UID stays taken
   * (PAM_CONFLICT). A mirror must link to items and gateways that exist in the same application (PAM_NOT_FOUND). `aboveFacts`: a
   * revision of the facts that was seen and lost by a restore; the next is above it.
   */
  putItems(input: {
    readonly items: readonly WriteItem[];
    readonly author: string;
    readonly nowMs: number;
    readonly aboveFacts?: number;
  }): Promise<readonly Item[]>;
  /** Adds a revision of `state` only (an instance's last run, first-seen identity); same rule for `rev`. */
  putState(input: {
    readonly uid: ItemUid;
    readonly state: PartEnvelope;
    readonly author: string;
    readonly nowMs: number;
  }): Promise<void>;
  /** Newest parts. `null` when it does not exist or was removed. */
  getItem(input: { readonly uid: ItemUid }): Promise<Item | null>;
  /** The items that exist among `uids` (at most 1,000), in UID order. */
  getItems(input: { readonly uids: readonly ItemUid[] }): Promise<readonly Item[]>;
  /** In UID order after `after`; at most `limit` (1–1,000), one more is asked to learn `more`. */
  listItems(input: {
    readonly app?: ApplicationUid;
    readonly types?: readonly ItemType[];
    readonly after?: ItemUid;
    readonly parts: 'facts' | 'all';
    readonly limit: number;
  }): Promise<{ readonly items: readonly Item[]; readonly more: boolean }>;
  /** Every revision of every part, newest first, at most 200. Also of removed items. */
  historyOf(input: { readonly uid: ItemUid }): Promise<readonly ItemVersion[]>;
  /**
   * Marks an item removed; its revisions stay. PAM_NOT_FOUND; PAM_IN_USE with `detail.dependants` (UIDs, comma
   * separated, the first 20). An application depends on nothing and everything in it depends on it.
   */
  removeItem(input: { readonly uid: ItemUid | ApplicationUid; readonly nowMs: number }): Promise<void>;
  /** Stores wraps; one for the same (app, part, gen, recipient) is replaced. */
  putWraps(input: { readonly wraps: readonly KeyWrap[] }): Promise<void>;
  /** Forgets every wrap for this recipient: its key is in other hands. */
  dropWraps(input: { readonly recipient: string }): Promise<void>;
  /** Wraps for these recipients (thumbprints of box keys), newest generation first. */
  listWraps(input: {
    readonly recipients: readonly string[];
    readonly app?: ApplicationUid;
    readonly part?: KeyPart;
  }): Promise<readonly KeyWrap[]>;
}
