import type { LoadOrder, LoadResult } from '../harness/load.ts';
import type { HarnessChild } from './child.ts';

/** Has the load generator do one thing and waits for its figures. */
export function orderLoad(load: HarnessChild, order: LoadOrder): Promise<LoadResult> {
  return new Promise((resolve) => {
    const onMessage = (message: { kind: string; result?: LoadResult }): void => {
      if (message.kind !== 'result' || message.result === undefined) return;
      load.process.off('message', onMessage);
      resolve(message.result);
    };
    load.process.on('message', onMessage);
    load.process.send(order);
  });
}
