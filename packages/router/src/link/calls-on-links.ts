import { type EndReason, type InstanceId, PamError, type StreamId } from '@sallyport/protocol';
import type { JobLinks } from '../rotation/index.ts';
import type { SessionLinks, Unwanted } from '../session/index.ts';
import type { LinkTable } from './link-table.ts';
import type { Whereabouts } from './whereabouts.ts';

const dispatchTimeoutMs = 8_000;
const resumeTimeoutMs = 2_000;
const offerTimeoutMs = 8_000;

/** What sessions and jobs say to instances. */
export interface CallsOnLinks {
  readonly forSessions: SessionLinks;
  readonly forJobs: JobLinks;
  /** Ends what an instance that came back runs and should not: killed meanwhile, or not known here. */
  endEach(instance: InstanceId, unwanted: readonly Unwanted[]): void;
}

/** @param deps.changed - tells the instances of an application that items were changed. */
export function createCallsOnLinks(deps: {
  readonly table: LinkTable;
  readonly whereabouts: Whereabouts;
  readonly changed: JobLinks['changed'];
}): CallsOnLinks {
  const { whereabouts, changed } = deps;
  const { links, byInstance } = deps.table;

  /** @returns whether there is a link to say it on. */
  function endStreams(instance: InstanceId, streams: readonly StreamId[], reason: EndReason, words = ''): boolean {
    const peer = byInstance.get(instance)?.peer;
    const said = words === '' ? {} : { words };
    for (let i = 0; i < streams.length; i += 1_000) {
      peer?.notify('stream.end', { streams: streams.slice(i, i + 1_000), reason, ...said });
    }
    return peer !== undefined;
  }

  function endEach(instance: InstanceId, unwanted: readonly Unwanted[]): void {
    const killed = unwanted.filter((each) => each.words !== null);
    for (const { stream, words } of killed) endStreams(instance, [stream], 'killed', words ?? '');
    const rest = unwanted.filter((each) => each.words === null).map((each) => each.stream);
    if (rest.length > 0) endStreams(instance, rest, 'router-restarted');
  }

  return {
    forSessions: {
      dispatch: async (id, params) => {
        const link = links.get(id);
        if (link === undefined) throw new PamError('PAM_LEG_FAILED', 'the control link closed');
        return link.peer.call('stream.dispatch', params, { timeoutMs: dispatchTimeoutMs });
      },
      resume: async (instance, params) => {
        if (!byInstance.has(instance)) await whereabouts.arrival(instance);
        const link = byInstance.get(instance);
        if (link === undefined) return whereabouts.explain(instance);
        return link.peer.call('stream.resume', params, { timeoutMs: resumeTimeoutMs });
      },
      forget: (id, stream, ticket) => links.get(id)?.peer.notify('stream.forget', { stream, ticket }),
      end: endStreams,
      park: (id, tickets) => links.get(id)?.peer.notify('leg.park', { tickets: [...tickets] }),
    },
    forJobs: {
      offer: async (id, params) => {
        const link = links.get(id);
        if (link === undefined) throw new PamError('PAM_LEG_FAILED', 'the control link closed');
        return link.peer.call('job.offer', params, { timeoutMs: offerTimeoutMs });
      },
      kinds: async (id) => {
        const link = links.get(id);
        if (link === undefined) throw new PamError('PAM_LEG_FAILED', 'the control link closed');
        return link.peer.call('kind.list', {}, { timeoutMs: offerTimeoutMs });
      },
      cancel: (instance, job) => byInstance.get(instance)?.peer.notify('job.cancel', { job }),
      changed,
    },
    endEach,
  };
}
