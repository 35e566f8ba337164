import {
  type GatewayUid,
  type InstanceId,
  type JobHandlers,
  type JobId,
  type LinkParams,
  type LinkResult,
  PamError,
} from '@sallyport/protocol';
import type { JobOffers } from './job-offers.ts';
import { journalHandlers } from './journal-handlers.ts';
import type { JobMember, RotationDeps } from './rotation-service.ts';
import type { Refused } from './rotation-store.ts';

/** At one server: runs of schedules in all, and what people ordered on one instance. */
const atServer = { scheduledAtOnce: 1, orderedAtOnce: 8 } as const;

type HandlerDeps = Pick<
  RotationDeps,
  'store' | 'vault' | 'links' | 'audit' | 'signedBy' | 'clock' | 'timing' | 'start' | 'promoted' | 'ended'
> & {
  readonly offers: JobOffers;
  /** Jobs of a lease that is over may begin elsewhere. */
  readonly free: (gateway: GatewayUid, jobs: readonly JobId[]) => void;
  readonly countSoon: () => void;
};

/** What an instance says of leases, jobs and its journal, each answered by one transaction. */
export function jobHandlers(deps: HandlerDeps, member: () => JobMember): JobHandlers<'router'> {
  const { store, clock, audit, links, timing, offers } = deps;
  const asked = (): { instance: InstanceId; nowMs: number } => ({
    instance: member().instance,
    nowMs: clock.nowMs(),
  });
  return {
    'lease.renew': async ({ lease, after }) => {
      const { gateway } = member();
      const answer = await store.renewLease({ ...asked(), gateway, lease, after });
      if ('lost' in answer) throw new PamError('PAM_LEASE_LOST', `the lease ${lease} was given away`);
      if (answer.lease !== lease) offers.wake();
      const { leaseMs, fenceMs, renewalMs, quiesceMs, effectMs } = timing;
      return { lease: answer.lease, times: { leaseMs, fenceMs, renewalMs, quiesceMs, effectMs } };
    },
    'lease.release': async ({ lease }) => {
      const { gateway } = member();
      deps.free(gateway, await store.releaseLease({ ...asked(), lease }));
      return {};
    },
    'job.claim': async (params) => {
      const { gateway, instance } = member();
      const answer = await store.claimJob({ ...params, ...asked(), ...atServer });
      offers.settled(params.job);
      if ('refused' in answer) {
        offers.roomier(gateway);
        offers.wake(gateway);
      }
      const { claimed, record } = answered(answer);
      audit.later('job.claimed', { job: params.job, record, gateway, instance, epoch: claimed.epoch });
      return claimed;
    },
    'job.stage': async (params) => answered(await store.stageVersion({ ...params, ...asked() })),
    'job.permit': async (params) => {
      const { instance } = member();
      const answer = answered(await store.permitSend({ ...params, ...asked() }));
      audit.later('job.permitted', { job: params.job, instance, epoch: params.epoch, send: answer.send });
      return answer;
    },
    'job.login': async (params) => store.takeLogin({ ...params, ...asked() }),
    'job.report': async (params) => {
      answered(await store.reportStep({ ...params, ...asked() }));
      return {};
    },
    'job.promote': async ({ signed, ...params }) => promote(asked(), params, signed),
    'job.wait': async (params) => {
      const { gateway } = member();
      answered(await store.waitJob({ ...params, ...asked() }));
      offers.roomier(gateway);
      offers.wake(gateway);
      return {};
    },
    'job.finish': async ({ signed, ...params }) => finish(member().gateway, asked(), params, signed),
    'job.late': async (params) => {
      await store.noteLate({ ...params, ...asked() });
      audit.later('job.late', { job: params.job, instance: member().instance, send: params.send });
      return {};
    },
    'vault.state': async ({ uid, state }) => {
      const { app, instance } = member();
      const item = await deps.vault.getItem({ uid });
      if (item === null || item.app !== app) throw new PamError('PAM_NOT_FOUND', `there is no item ${uid}`);
      await deps.vault.putState({ uid, state, author: instance, nowMs: clock.nowMs() });
      return {};
    },
    ...journalHandlers(deps, member),
  };

  async function promote(
    asked: { readonly instance: InstanceId; readonly nowMs: number },
    params: Omit<LinkParams<'job.promote'>, 'signed'>,
    signed: string,
  ): Promise<LinkResult<'job.promote'>> {
    const { job, version, epoch } = params;
    const { instance } = asked;
    const event = await deps.signedBy(instance, signed, {
      act: 'job.promote',
      content: params,
      kind: 'job.promoted',
      body: { job, instance, epoch, version },
    });
    const promoted = event === null ? null : audit.note(event);
    const edited = event === null ? null : audit.note({ ...event, kind: 'job.not-promoted' });
    const done = answered(await store.promoteVersion({ ...params, ...asked, promoted, edited }));
    if (done.head !== null) audit.moved(done.head);
    if (done.answer.kind === 'promoted' && !done.again) {
      deps.promoted(asked.nowMs - done.createdAtMs);
      links.changed([done.record], done.app);
    }
    return done.answer;
  }

  async function finish(
    gateway: GatewayUid,
    asked: { readonly instance: InstanceId; readonly nowMs: number },
    params: Omit<LinkParams<'job.finish'>, 'signed'>,
    signed: string,
  ): Promise<Record<never, never>> {
    const { job, outcome, why } = params;
    const { instance } = asked;
    const event = await deps.signedBy(instance, signed, {
      act: 'job.finish',
      content: params,
      kind: 'job.ended',
      body: { job, instance, state: outcome, why },
    });
    const told = event === null ? null : audit.note(event);
    const done = answered(await store.finishJob({ ...params, ...asked, told }));
    if (done.head !== null) audit.moved(done.head);
    deps.ended(done.job);
    if (outcome === 'attention' || why === 'not-retired' || why === 'retired') deps.countSoon();
    offers.settled(job);
    offers.roomier(gateway);
    offers.wake(gateway);
    return {};
  }
}

/** A refusal that the store kept, as the error the instance gets. */
function answered<Answer extends object>(answer: Answer | Refused): Answer {
  if (!('refused' in answer)) return answer;
  throw new PamError(answer.refused, answer.why);
}
