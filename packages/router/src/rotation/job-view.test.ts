import type { ApplicationUid, GatewayUid, InstanceId, ItemUid, JobId } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { viewJob } from './job-view.ts';
import type { StoredJob } from './stored-job.ts';

const job: StoredJob = {
  ...{ id: 'job' as JobId, kind: 'rotate', record: 'record' as ItemUid, account: 'a', server: 's' },
  ...{ app: 'app' as ApplicationUid, gateway: 'gateway' as GatewayUid, order: null, person: null, dueAtMs: null },
  ...{ state: 'running', step: 'applied', holder: { instance: 'one' as InstanceId, lease: 1 }, epoch: 1, attempts: 1 },
  ...{
    base: 1,
    candidate: 1,
    rejections: 0,
    sends: [],
    address: null,
    cancelAsked: false,
    followUps: [],
    instances: [],
    after: null,
  },
  ...{ createdAtMs: 0, startedAtMs: 0, endedAtMs: null, why: 'budget', notBeforeMs: 90_000 },
};

test('a job that waits with its holder shows until when, and is running again afterwards', () => {
  expect(viewJob(job, 60_000)).toMatchObject({
    ...{ state: 'waiting', why: 'budget', notBeforeMs: 90_000, instance: 'one' },
  });
  expect(viewJob(job, 90_000)).toMatchObject({ state: 'running', why: 'none', notBeforeMs: null });
});

test('a job that just runs does not wait, whenever it was to begin', () => {
  expect(viewJob({ ...job, why: 'none' }, 60_000)).toMatchObject({ state: 'running', notBeforeMs: null });
});
