import { type JobId, jobIdSchema, listJobs, PamError } from '@sallyport/protocol';
import type { VaultSession } from '../vault/open-session.ts';

/** A job's id, or the newest job for `last`. @throws PAM_USAGE, PAM_NOT_FOUND. */
export async function readJobId(session: VaultSession, text: string): Promise<JobId> {
  if (text !== 'last') {
    const id = jobIdSchema.safeParse(text);
    if (id.success) return id.data;
    throw new PamError('PAM_USAGE', `“${text}” is no job id`, { remedy: 'See pam action job-list.' });
  }
  const { jobs } = await session.client.call(listJobs, { query: {} });
  const newest = jobs[0];
  if (newest === undefined) throw new PamError('PAM_NOT_FOUND', 'there is no job yet');
  return newest.job;
}
