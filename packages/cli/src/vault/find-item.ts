import { type ItemType, itemUidSchema, PamError } from '@sallyport/protocol';
import { resolveName } from './resolve.ts';
import type { OpenedItem, Vault } from './vault.ts';

/**
 * Finds one item by UID (asked for alone) or by exact title among those of `types`, with all its parts.
 *
 * An item that cannot be believed hides nothing: when no other has the title, its error is the answer.
 * PAM_NOT_FOUND, PAM_AMBIGUOUS.
 */
export async function findItem<Type extends ItemType>(
  vault: Vault,
  kind: string,
  text: string,
  types: readonly Type[],
): Promise<OpenedItem<Type>> {
  const isWanted = (item: OpenedItem): item is OpenedItem<Type> => types.some((type) => type === item.type);
  const uid = itemUidSchema.safeParse(text);
  if (uid.success) {
    try {
      const item = await vault.item(uid.data);
      if (isWanted(item)) return item;
    } catch (reason) {
      if (!(reason instanceof PamError) || reason.code !== 'PAM_NOT_FOUND') throw reason;
    }
  }
  const { items, unreadable } = await vault.items(types);
  const [bad] = unreadable;
  if (bad !== undefined && !items.some((item) => item.title === text)) throw bad.error;
  const found = await vault.item(resolveName(kind, text, items).uid);
  if (isWanted(found)) return found;
  throw new PamError('PAM_SEAL_MISPLACED', `${found.uid} changed its type`);
}
