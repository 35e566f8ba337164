import { type Item, linkLimits } from '@sallyport/protocol';

/** Room for everything of an offer beside its items. */
const otherBytes = 65_536;

/**
 * As many of the items, from the first, as one message of the control link carries. The record and its resource come
 * first; an instance that misses one says so.
 */
export function fitsMessage(items: readonly Item[]): readonly Item[] {
  let bytes = otherBytes;
  const fitting: Item[] = [];
  for (const item of items) {
    bytes += JSON.stringify(item).length + 1;
    if (bytes > linkLimits.messageBytes) break;
    fitting.push(item);
  }
  return fitting;
}
