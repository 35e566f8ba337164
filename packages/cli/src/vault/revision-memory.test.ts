import { expect, test } from 'vitest';
import { newMemory, newsIn, withNews } from '../profile/memory.ts';
import { floorsAt, olderParts, openRevisionMemory, type ServedPart } from './revision-memory.ts';

const part = (rev: number, text = `rev ${rev}`, name: 'facts' | 'secrets' = 'facts'): ServedPart => ({
  uid: 'A'.repeat(22),
  part: name,
  rev,
  envelope: text,
});
const seen = floorsAt([part(4), part(2, 's', 'secrets')]);
const memoryOf = (revs: ReturnType<typeof floorsAt>) =>
  openRevisionMemory({
    readMemory: async () => ({ ...newMemory(), revs }),
    remember: async (news) => withNews({ ...newMemory(), revs }, newsIn(newMemory(), news) ?? {}),
  });
const stale = expect.objectContaining({ code: 'PAM_SEAL_STALE' });

test('a floor sinks by a word for this part alone, and refuses what is below the new one', async () => {
  expect(olderParts(seen, [part(3), part(2, 's', 'secrets')])).toEqual([{ part: 'facts', seen: 4, shown: 3 }]);
  const lowered = memoryOf({ ...seen, ...floorsAt([part(3)]) });
  await expect(lowered.check([part(3), part(2, 's', 'secrets')])).resolves.toBeUndefined();
  await expect(lowered.check([part(2)])).rejects.toThrow(stale);
  await expect(lowered.check([part(1, 's', 'secrets')])).rejects.toThrow(stale);
  await expect(memoryOf(seen).check([part(3)])).rejects.toMatchObject({
    code: 'PAM_SEAL_STALE',
    remedy: expect.stringContaining(`pam record accept-older ${'A'.repeat(22)}`),
  });
});

test('another text under the number that was seen counts as older, a newer one and the same do not', () => {
  expect(olderParts(seen, [part(4, 'rewritten')])).toEqual([{ part: 'facts', seen: 4, shown: 4 }]);
  expect(olderParts(seen, [part(5), part(2, 's', 'secrets')])).toEqual([]);
  expect(olderParts(seen, [part(4)])).toEqual([]);
});
