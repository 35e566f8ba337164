import { once } from 'node:events';
import { flushCompileCache } from 'node:module';
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { PamError, toWireError } from '@sallyport/protocol';
import { type Outcome, SqliteEngine } from './sqlite-engine.ts';
import { holdLock } from './sqlite-lock.ts';
import type { WorkerAnswer, WorkerPlace, WorkerRequest } from './sqlite-messages.ts';

/**
 * Entry of the worker that owns the store's file: told which, it holds `router.lock`, takes what is waiting as one batch, and
 * answers after the commit. It ends when its port is closed or the router dies.
 */
const batchLimit = 64;
const port = parentPort;
if (port === null) throw new PamError('PAM_INTERNAL', 'this file runs as a worker only');
const [place] = (await once(port, 'message')) as [WorkerPlace];

function open(): { readonly engine: SqliteEngine; readonly release: () => void } | PamError {
  try {
    const release = holdLock(place.lockFile);
    const engine = new SqliteEngine(place.file);
    engine.migrate(place.nowMs);
    return { engine, release };
  } catch (reason) {
    return PamError.from(reason, 'PAM_STORE_AWAY', 'the store could not be opened');
  }
}

const send = (answer: WorkerAnswer): void => port.postMessage(answer);
const failed = (id: number, error: PamError): void =>
  send({ id, error: toWireError(error), cause: String(error.cause ?? '') });

function answer(id: number, outcome: Outcome): void {
  if ('error' in outcome) failed(id, outcome.error);
  else send({ id, results: outcome.results });
}

const opened = open();
if (opened instanceof PamError) {
  failed(0, opened);
  port.close();
} else {
  const { engine, release } = opened;
  send({ id: 0, results: [engine.incarnation()] });
  // The router may be killed: what this thread compiled is kept for the next (nothing to do without a cache).
  flushCompileCache();

  const control = (request: Exclude<WorkerRequest, { kind: 'calls' }>): void => {
    try {
      if (request.kind === 'check') send({ id: request.id, results: [engine.check()] });
      else if (request.kind === 'backup') {
        engine.backup(request.file);
        send({ id: request.id, results: [null] });
      } else {
        engine.close();
        release();
        send({ id: request.id, results: [null] });
        port.close();
      }
    } catch (reason) {
      failed(request.id, PamError.from(reason, 'PAM_INTERNAL', 'the store failed in a way nobody expected'));
    }
  };

  const runBatch = (batch: (WorkerRequest & { kind: 'calls' })[]): void => {
    const outcomes = engine.runBatch(batch.map((request) => request.calls));
    for (const [i, outcome] of outcomes.entries()) answer(batch[i]?.id ?? 0, outcome);
    batch.length = 0;
  };

  port.on('message', (first: WorkerRequest) => {
    const batch: (WorkerRequest & { kind: 'calls' })[] = [];
    let next: WorkerRequest | undefined = first;
    while (next !== undefined) {
      if (next.kind === 'calls') batch.push(next);
      else {
        runBatch(batch);
        control(next);
        if (next.kind === 'close') return;
      }
      next = batch.length < batchLimit ? receiveMessageOnPort(port)?.message : undefined;
    }
    runBatch(batch);
  });
}
