import type { JobView } from '@sallyport/protocol';
import type { StoredJob } from './stored-job.ts';

/** A job as lists show it. */
export function viewJob(job: StoredJob): JobView {
  const late = job.dueAtMs === null || job.startedAtMs === null ? null : Math.max(0, job.startedAtMs - job.dueAtMs);
  return {
    job: job.id,
    kind: job.kind,
    gateway: job.gateway,
    record: job.record,
    state: job.state,
    step: job.step,
    why: job.why,
    person: job.person,
    dueAtMs: job.dueAtMs,
    lateMs: late,
    instance: job.holder?.instance ?? null,
    instances: [...job.instances],
    attempts: job.attempts,
    sends: job.sends.length,
    rejections: job.rejections,
    candidate: job.candidate,
    cancelAsked: job.cancelAsked,
    createdAtMs: job.createdAtMs,
    startedAtMs: job.startedAtMs,
    endedAtMs: job.endedAtMs,
    notBeforeMs: job.state === 'waiting' ? job.notBeforeMs : null,
  };
}
