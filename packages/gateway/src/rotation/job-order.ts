import { type GatewayUid, type JobWhy, type LinkParams, PamError, type RotationSettings } from '@sallyport/protocol';
import { nextOccurrence } from '@sallyport/rotation';
import {
  type CandidateProof,
  type LogState,
  type Order,
  type Place,
  verifyOrder,
  verifyPastOrder,
  verifyStandingOrder,
} from '@sallyport/seal';

type Offer = LinkParams<'job.offer'>;

/** Who asked for a job, checked. */
export interface JobOrder {
  /** Why a secret may be written; null: none may be, any more or at all. */
  readonly proof: CandidateProof | null;
  /** From then on (Unix ms) a secret that is sealed would not be believed; null: no such end. */
  readonly proofEndsMs: number | null;
  /**
   * Why it may not be begun any more; null: it may. One that was begun while it held is finished (ADR 15): its candidate
   * carries the order in itself.
   */
  readonly lapsed: JobWhy | null;
}

export interface OrderDeps {
  readonly app: Place['app'];
  readonly gateway: GatewayUid;
  readonly nowMs: () => number;
}

/** A job that nobody may do as it is: `detail.why` is of the router's closed list. */
export function denied(why: JobWhy, message: string): PamError {
  return new PamError('PAM_ORDER_INVALID', message, { detail: { why } });
}

/** A standing order is obeyed for this long after its occurrence, and so much before it by a clock that differs. */
const occurrenceLateMs = 7 * 86_400_000;
const occurrenceEarlyMs = 60_000;
/** What was begun is finished for this long after its order ended; then a person looks. */
const finishWithinMs = 7 * 86_400_000;

/**
 * The order that a device signed for this job; null without one.
 *
 * @throws PAM_ORDER_INVALID, PAM_ORDER_SPENT; PAM_TRUST_* when the log is behind.
 */
export async function readOrder(
  offer: Pick<Offer, 'order' | 'job' | 'record' | 'kind'>,
  deps: OrderDeps,
  log: LogState,
): Promise<{ readonly order: Order; readonly lapsed: JobWhy | null } | null> {
  if (offer.order === null) return null;
  const nowMs = deps.nowMs();
  const read = await verifyOrder(offer.order, {
    gateway: deps.gateway,
    log,
    nowSeconds: Math.floor(nowMs / 1_000),
  }).then(
    (order) => ({ order, lapsed: null }),
    (reason: unknown) => readLapsedOrder(offer.order ?? '', reason, { ...deps, kind: offer.kind, log }),
  );
  const { order } = read;
  if (order.job !== offer.job || order.record !== offer.record || order.act !== offer.kind) {
    throw denied('order-invalid', 'the order is for another job, record or act');
  }
  return read;
}

/** One that ended, or whose device was removed: good for what was begun under it. @throws `reason` when it is not. */
async function readLapsedOrder(
  text: string,
  reason: unknown,
  of: OrderDeps & { readonly kind: Offer['kind']; readonly log: LogState },
): Promise<{ readonly order: Order; readonly lapsed: JobWhy }> {
  const isSpent = reason instanceof PamError && reason.code === 'PAM_ORDER_SPENT';
  const isRemoved = reason instanceof PamError && reason.detail['why'] === 'right';
  if (of.kind !== 'rotate' || (!isSpent && !isRemoved)) throw reason;
  const order = await verifyPastOrder(text, of.log);
  const isInTime = of.nowMs() <= order.exp * 1_000 + finishWithinMs;
  if (order.aud !== `gateway:${of.gateway}` || !isInTime) throw reason;
  return { order, lapsed: isSpent ? 'order-spent' : 'order-invalid' };
}

/**
 * What allows this job: its order, or an occurrence of the record's standing order that is due by our own clock. Logging
 * in with what the vault holds changes nothing: re-checks need neither. To remove what a rotation left is to finish it: its
 * order is in the secret that it set.
 *
 * @throws PAM_ORDER_INVALID when nobody ordered it.
 */
export async function allowJob(
  offer: Pick<Offer, 'order' | 'kind' | 'record' | 'dueAtMs'>,
  read: Awaited<ReturnType<typeof readOrder>>,
  settings: Pick<RotationSettings, 'standing'> & { readonly secretsProof: () => Promise<CandidateProof | null> },
  deps: OrderDeps,
  log: LogState,
): Promise<JobOrder> {
  if (read !== null && offer.order !== null) {
    const { order, lapsed } = read;
    const proof = lapsed === null ? { order: offer.order } : null;
    return { proof, proofEndsMs: order.exp * 1_000, lapsed };
  }
  const none = { proof: null, proofEndsMs: null };
  if (offer.kind === 'check') return { ...none, lapsed: null };
  if (offer.kind === 'retire') return allowRetirement(await settings.secretsProof(), deps, log);
  const { dueAtMs } = offer;
  if (dueAtMs === null) throw denied('order-invalid', 'nobody ordered this job');
  const proof = await standingProof(settings.standing, dueAtMs, { ...deps, record: offer.record, log });
  if (proof !== null) return { proof, proofEndsMs: null, lapsed: null };
  // Whoever changed the schedule meanwhile, or waited too long: what was begun is finished, and nothing else begins.
  if (dueAtMs >= deps.nowMs() - occurrenceLateMs - finishWithinMs) return { ...none, lapsed: 'order-invalid' };
  throw denied('order-invalid', 'the standing order is not due at this time');
}

/** @throws PAM_ORDER_INVALID unless the vault's secret was set by a rotation that may still be finished. */
async function allowRetirement(of: CandidateProof | null, deps: OrderDeps, log: LogState): Promise<JobOrder> {
  if (of === null) throw denied('order-invalid', 'the vault’s secret was not set by a rotation: order the retirement');
  const endsMs = 'order' in of ? (await verifyPastOrder(of.order, log)).exp * 1_000 : of.dueAtMs + occurrenceLateMs;
  if (deps.nowMs() > endsMs + finishWithinMs) throw denied('order-spent', 'the rotation is too old to be finished');
  return { proof: null, proofEndsMs: null, lapsed: null };
}

async function standingProof(
  standing: string | null,
  dueAtMs: number,
  of: OrderDeps & { readonly record: Offer['record']; readonly log: LogState },
): Promise<CandidateProof | null> {
  if (standing === null) return null;
  const { app, gateway, record, log } = of;
  const order = await verifyStandingOrder(standing, { app, gateway, record, log, past: false }).catch(
    (reason: unknown) => {
      if (reason instanceof PamError && reason.detail['why'] === 'right') return null;
      throw reason;
    },
  );
  const nowMs = of.nowMs();
  const isDue = dueAtMs <= nowMs + occurrenceEarlyMs && dueAtMs >= nowMs - occurrenceLateMs;
  if (order === null || !isDue) return null;
  const isOccurrence = nextOccurrence(order.schedule, dueAtMs - 1, order.iat * 1_000) === dueAtMs;
  return isOccurrence ? { standing, dueAtMs } : null;
}
