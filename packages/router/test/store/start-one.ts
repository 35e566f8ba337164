import { PamError } from '@sallyport/protocol';
import type { NewJob, StoredJob } from '../../src/rotation/index.ts';
import type { Store } from '../../src/store/index.ts';

/** Stores one order; throws what it was refused with. */
export async function startOne(store: Store, order: NewJob): Promise<StoredJob> {
  const told = { router: 'router', start: 1, events: [] };
  const { results } = await store.rotation.startJobs({ orders: [order], told });
  const [only] = results;
  if (only !== undefined && 'job' in only) return only.job;
  throw new PamError(only?.error.code ?? 'PAM_INTERNAL', only?.error.message ?? 'no answer', {
    ...(only === undefined ? {} : { detail: only.error.detail }),
  });
}
