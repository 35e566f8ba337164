import type { LoadOrder, LoadResult } from '../harness/load.ts';
import type { HarnessChild } from './child.ts';

type Answer =
  | { readonly kind: 'result'; readonly result: LoadResult }
  | { readonly kind: 'failed'; readonly message: string };

const withinMs = 300_000;

/** Has the load generator do one thing and waits for its figures, 5 minutes at most. */
export function orderLoad(load: HarnessChild, order: LoadOrder): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      load.process.off('message', onMessage);
      load.process.off('exit', onExit);
      settle();
    };
    const fail = (why: string): void => finish(() => reject(new Error(`bench: ${order.kind}: ${why}`)));
    const onMessage = (message: Answer | { readonly kind: 'listening' }): void => {
      if (message.kind === 'result') finish(() => resolve(message.result));
      if (message.kind === 'failed') fail(message.message);
    };
    const onExit = (): void => fail('the load generator ended');
    const timer = setTimeout(() => fail(`no end after ${withinMs / 1_000} s`), withinMs);
    load.process.on('message', onMessage);
    load.process.on('exit', onExit);
    load.process.send(order);
  });
}
