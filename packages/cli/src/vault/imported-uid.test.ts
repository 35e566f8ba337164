import { applicationUidSchema } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { importedUid, type ImportedLine } from './imported-uid.ts';
import { freshUid } from './vault.ts';

const line: ImportedLine = { app: applicationUidSchema.parse(freshUid()), text: '{"title":"a"}', nth: 0, removed: 0 };
const rest = new Uint8Array(32).fill(7);

test('a line has one UID on one device, and every other line, copy, removal, application and device another', () => {
  expect(importedUid(rest, line)).toBe(importedUid(Uint8Array.from(rest), { ...line }));
  const others: ImportedLine[] = [
    { ...line, text: '{"title":"b"}' },
    { ...line, nth: 1 },
    { ...line, removed: 1 },
    { ...line, app: applicationUidSchema.parse(freshUid()) },
    ...Array.from({ length: 500 }, (_, n) => ({ ...line, text: String(n) })),
  ];
  const uids = [line, ...others].map((one) => importedUid(rest, one));
  expect(new Set([...uids, importedUid(new Uint8Array(32), line)]).size).toBe(uids.length + 1);
});
