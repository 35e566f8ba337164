import { createHmac, hkdfSync } from 'node:crypto';
import { type ApplicationUid, type ItemUid, itemUidSchema, newUid } from '@sallyport/protocol';

/** One line of an import, as far as its record's UID depends on it. */
export interface ImportedLine {
  readonly app: ApplicationUid;
  readonly text: string;
  /** How many lines of the same text came before it in the file. */
  readonly nth: number;
  /** How many records of this line were made and removed again: a UID is never used twice. */
  readonly removed: number;
}

/**
 * The UID of the record that a line makes: the same each time this device imports the line, so that an import that was cut
 * off goes on where it ended and doubles nothing. Others see a UID like any other: without the device's secret nobody can
 * try what the line, which has passwords in it, may have been.
 *
 * @param rest - the secret that seals what rests on the device, 32 bytes.
 */
export function importedUid(rest: Uint8Array, { app, text, nth, removed }: ImportedLine): ItemUid {
  const key = new Uint8Array(hkdfSync('sha256', rest, new Uint8Array(), 'sallyport-imported-uid', 32));
  let draw = 0;
  const bytes = (length: number) =>
    createHmac('sha256', key)
      .update(JSON.stringify([app, text, nth, removed, draw++]))
      .digest()
      .subarray(0, length);
  return itemUidSchema.parse(newUid(bytes));
}
