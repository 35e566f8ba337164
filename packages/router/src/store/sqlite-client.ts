import type { Worker } from 'node:worker_threads';
import { isErrorCode, PamError, type WireError } from '@sallyport/protocol';
import type { ActCall } from './acts/index.ts';
import type { StoreEngine } from './engine.ts';
import type { WorkerAnswer, WorkerPlace, WorkerRequest } from './sqlite-messages.ts';

/** Requests without their number. */
type Asked = WorkerRequest extends infer R ? (R extends WorkerRequest ? Omit<R, 'id'> : never) : never;

interface Waiting {
  readonly resolve: (results: readonly unknown[]) => void;
  readonly reject: (error: PamError) => void;
}

function fromWire(error: WireError, cause: string): PamError {
  const code = isErrorCode(error.code) ? error.code : 'PAM_INTERNAL';
  return new PamError(code, error.message, { remedy: error.remedy, detail: error.detail, cause });
}

/**
 * The store's file behind a worker thread, so that a slow fsync never stalls the router's own loop.
 *
 * @param worker - one of `startStoreWorker` that was not told anything yet.
 * @param onFatal - the worker died: what was acknowledged is safe, what was asked is unknown; stop the process.
 */
export async function openSqlite(
  worker: Worker,
  place: WorkerPlace,
  onFatal: (error: PamError) => void,
): Promise<StoreEngine> {
  const waiting = new Map<number, Waiting>();
  let nextId = 1;
  let ended: PamError | null = null;
  let closing = false;

  const fail = (error: PamError): void => {
    if (ended !== null) return;
    ended = error;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
    if (!closing) onFatal(error);
  };
  worker.on('message', (answer: WorkerAnswer) => {
    const asked = waiting.get(answer.id);
    waiting.delete(answer.id);
    if ('error' in answer) asked?.reject(fromWire(answer.error, answer.cause));
    else asked?.resolve(answer.results);
  });
  worker.on('error', (reason) => fail(new PamError('PAM_STORE_AWAY', 'the store failed', { cause: reason })));
  worker.on('exit', () => fail(new PamError('PAM_STORE_AWAY', 'the store is closed')));

  const expect = (id: number): Promise<readonly unknown[]> =>
    new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
    });
  const ask = (request: Asked): Promise<readonly unknown[]> => {
    if (ended !== null) return Promise.reject(ended);
    const id = nextId++;
    const answer = expect(id);
    worker.postMessage({ ...request, id });
    return answer;
  };

  closing = true;
  worker.postMessage(place);
  const [incarnation] = await expect(0);
  closing = false;
  return {
    name: 'sqlite',
    incarnation: Number(incarnation),
    run: (calls: readonly ActCall[]) => ask({ kind: 'calls', calls }),
    check: async () => ((await ask({ kind: 'check' }))[0] ?? []) as readonly string[],
    backup: async (file) => {
      await ask({ kind: 'backup', file });
    },
    close: async () => {
      if (ended !== null) return;
      closing = true;
      const exited = new Promise<void>((resolve) => {
        worker.once('exit', () => resolve());
      });
      await ask({ kind: 'close' });
      await exited;
    },
  };
}
