import { openStore, type StorePlace } from '../../src/store/index.ts';
import { testNowMs } from './engines-time.ts';

/**
 * Writes without end, sixteen at a time, and prints the id of each write once it was acknowledged. It is killed.
 *
 *     node writer.ts PLACE-AS-JSON ROUND
 */
const place = JSON.parse(process.argv[2] ?? '') as StorePlace;
const round = process.argv[3] ?? '';
const store = await openStore(place, { nowMs: () => testNowMs, onFatal: () => process.exit(1) });
let next = 0;

async function write(): Promise<never> {
  for (;;) {
    const key = `${round}/${next++}`;
    await store.identity.writeSetting({ key, value: 'acknowledged' });
    // Writing to a pipe is synchronous here: what the parent read was acknowledged before the kill.
    process.stdout.write(`${key}\n`);
  }
}

await Promise.all(Array.from({ length: 16 }, write));
