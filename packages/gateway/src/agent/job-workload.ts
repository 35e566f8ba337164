import type { JobId, LinkParams, LinkResult, Peer } from '@sallyport/protocol';
import type { WorkloadContext } from './workload.ts';

/** Jobs as the agent sees them: offers come in, everything else the workload asks for by itself while there is a link. */
export interface JobWorkload {
  offer(params: LinkParams<'job.offer'>, context: WorkloadContext): Promise<LinkResult<'job.offer'>>;
  cancel(job: JobId): void;
  kinds(): LinkResult<'kind.list'>;
  /** A link is up, admitted and settled. */
  linked(call: Peer<'instance'>['call']): void;
  unlinked(): void;
}
