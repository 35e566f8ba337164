import type { JobView } from '@sallyport/protocol';
import type { StoredJob } from './stored-job.ts';

/** A job as lists show it now. One that its holder keeps while it waits is shown as waiting, too, and until when. */
export function viewJob(job: StoredJob, nowMs: number): JobView {
  const late = job.dueAtMs === null || job.startedAtMs === null ? null : Math.max(0, job.startedAtMs - job.dueAtMs);
  const waitsWithHolder = job.state === 'running' && job.why !== 'none' && job.notBeforeMs > nowMs;
  return {
    job: job.id,
    kind: job.kind,
    gateway: job.gateway,
    record: job.record,
    state: waitsWithHolder ? 'waiting' : job.state,
    step: job.step,
    why: job.state === 'running' && !waitsWithHolder ? 'none' : job.why,
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
    after: job.after,
    createdAtMs: job.createdAtMs,
    startedAtMs: job.startedAtMs,
    endedAtMs: job.endedAtMs,
    notBeforeMs: job.state === 'waiting' || waitsWithHolder ? job.notBeforeMs : null,
  };
}
