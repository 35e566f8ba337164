import type { JobView } from '@sallyport/protocol';
import { isoTime } from '../terminal/show.ts';
import { afterText } from './after-text.ts';
import { whyText } from './watch-job.ts';

/** A job as every command prints it in JSON. */
export function jobJson(job: JobView, title: string): Record<string, unknown> {
  return {
    job_id: job.job,
    kind: job.kind,
    record_uid: job.record,
    record_name: title,
    gateway_uid: job.gateway,
    state: job.state,
    step: job.step,
    why: job.why,
    why_text: whyText(job.why),
    person_uid: job.person,
    due_on: isoTime(job.dueAtMs),
    late_ms: job.lateMs,
    instance_id: job.instance,
    instances: job.instances,
    attempts: job.attempts,
    sends: job.sends,
    rejections: job.rejections,
    candidate_version: job.candidate,
    cancel_asked: job.cancelAsked,
    after: job.after,
    after_text: afterText(job.after),
    created_on: isoTime(job.createdAtMs),
    started_on: isoTime(job.startedAtMs),
    ended_on: isoTime(job.endedAtMs),
    not_before: isoTime(job.notBeforeMs),
  };
}
