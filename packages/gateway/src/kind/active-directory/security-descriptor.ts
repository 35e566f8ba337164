/** An entry of a list of access rights ([MS-DTYP] 2.4.4). Numbers in `trustee` and `right` are bytes, as hexadecimal text. */
interface AccessEntry {
  readonly allows: boolean;
  readonly mask: number;
  /** GUID of the one right it is about; null: of all. */
  readonly right: string | null;
  readonly trustee: string;
}

/** Reset Password, `User-Force-Change-Password` ([MS-ADTS] 5.1.3.2.1), as the directory stores it. */
export const resetPasswordRight = '709529006d24d011a76800aa006e0529';

const daclPresent = 0x0004;
const inheritOnly = 0x08;
const plainTypes: ReadonlyMap<number, boolean> = new Map([
  [0x00, true],
  [0x01, false],
]);
const objectTypes: ReadonlyMap<number, boolean> = new Map([
  [0x05, true],
  [0x06, false],
]);
/** ADS_RIGHT_DS_CONTROL_ACCESS, and GENERIC_ALL where nobody has mapped it yet. */
const controlAccess = 0x0000_0100 | 0x1000_0000;

/**
 * Whether somebody with these SIDs has an extended right, by the list of rights of an object: the first entry about it
 * decides ([MS-ADTS] 5.1.3.3.4). A list that is not there lets everybody do everything.
 *
 * @param descriptor - self-relative, as `nTSecurityDescriptor` has it.
 * @param sids - of the connection, as `tokenGroups` of the root entry has them.
 * @returns null when the bytes are no descriptor.
 */
export function hasRight(descriptor: Buffer, sids: readonly Buffer[], right: string): boolean | null {
  const entries = readEntries(descriptor);
  if (entries === null || entries === 'none') return entries === null ? null : true;
  const ours = new Set(sids.map((sid) => sid.toString('hex')));
  const first = entries.find(
    (entry) =>
      ours.has(entry.trustee) && (entry.mask & controlAccess) !== 0 && (entry.right === null || entry.right === right),
  );
  return first?.allows ?? false;
}

/** Entries that count for the object itself, in their order; `none`: there is no list. */
function readEntries(bytes: Buffer): readonly AccessEntry[] | 'none' | null {
  if (bytes.length < 20 || bytes[0] !== 1) return null;
  const at = bytes.readUInt32LE(16);
  if ((bytes.readUInt16LE(2) & daclPresent) === 0 || at === 0) return 'none';
  if (at + 8 > bytes.length) return null;
  const entries: AccessEntry[] = [];
  let offset = at + 8;
  for (let left = bytes.readUInt16LE(at + 4); left > 0; left -= 1) {
    if (offset + 8 > bytes.length) return null;
    const size = bytes.readUInt16LE(offset + 2);
    if (size < 8 || offset + size > bytes.length) return null;
    const entry = readEntry(bytes.subarray(offset, offset + size));
    if (entry === null) return null;
    if (entry !== 'passed-over') entries.push(entry);
    offset += size;
  }
  return entries;
}

/** Entries that are only passed on to others, and kinds that decide nothing here, are passed over. */
function readEntry(bytes: Buffer): AccessEntry | 'passed-over' | null {
  const [type = 0, flags = 0] = bytes;
  if ((flags & inheritOnly) !== 0) return 'passed-over';
  const mask = bytes.readUInt32LE(4);
  const plain = plainTypes.get(type);
  if (plain !== undefined) {
    return { allows: plain, mask, right: null, trustee: bytes.toString('hex', 8, endOfSid(bytes, 8)) };
  }
  const allows = objectTypes.get(type);
  if (allows === undefined) return 'passed-over';
  if (bytes.length < 12) return null;
  const present = bytes.readUInt32LE(8);
  const hasType = (present & 1) !== 0;
  const sidAt = 12 + (hasType ? 16 : 0) + ((present & 2) !== 0 ? 16 : 0);
  if (sidAt + 8 > bytes.length) return null;
  const right = hasType ? bytes.toString('hex', 12, 28) : null;
  return { allows, mask, right, trustee: bytes.toString('hex', sidAt, endOfSid(bytes, sidAt)) };
}

/** A SID is 8 bytes and 4 for each of its parts; what follows it belongs to an entry of another kind. */
function endOfSid(bytes: Buffer, at: number): number {
  return at + 8 + 4 * (bytes[at + 1] ?? 0);
}
