import { PamError } from '@sallyport/protocol';
import { z } from 'zod';
import type { PublicJwk } from '../keys/ec-key.ts';
import type { LogGateway, LogState } from '../log/state.ts';
import { refusal } from '../refuse.ts';
import { orderToleranceSeconds, verifyPastOrder } from '../request/order.ts';
import { verifyStandingOrder } from '../request/standing-order.ts';
import type { Place } from './place.ts';

/** Why an instance wrote a secret: the order it obeyed, or the standing order and the occurrence (Unix ms). */
export const candidateProofSchema = z.union([
  z.strictObject({ order: z.string().max(16_384) }),
  z.strictObject({ standing: z.string().max(8_192), dueAtMs: z.int().min(0) }),
]);
export type CandidateProof = Readonly<z.infer<typeof candidateProofSchema>>;

/** The gateway of this application that has or had this signing key, and the key. */
export function gatewayWithKey(
  keyId: string,
  place: Place,
  log: LogState,
): { readonly gateway: LogGateway; readonly key: PublicJwk } | undefined {
  for (const gateway of log.gateways.values()) {
    if (gateway.app !== place.app) continue;
    if (gateway.signKeyId === keyId) return { gateway, key: gateway.signKey };
    const former = gateway.formerSignKeys.get(keyId);
    if (former !== undefined) return { gateway, key: former };
  }
  return undefined;
}

/**
 * Checks that a secret written by an instance was ordered: a pool's key alone writes no secret.
 *
 * @throws PAM_SEAL_AUTHOR with why 'proof'.
 */
export async function checkCandidateProof(
  proof: CandidateProof | undefined,
  written: { readonly place: Place; readonly at: number; readonly gateway: LogGateway },
  log: LogState,
): Promise<void> {
  const { place, at, gateway } = written;
  const refuse = (problem: string, cause?: unknown): PamError =>
    refusal('PAM_SEAL_AUTHOR', 'proof', `A secret of ${place.uid} written by an instance ${problem}.`, cause);
  if (proof === undefined) throw refuse('carries no order');
  try {
    if ('standing' in proof) {
      const want = { app: place.app, gateway: gateway.uid, record: place.uid, log, past: true };
      await verifyStandingOrder(proof.standing, want);
      if (at + orderToleranceSeconds < Math.floor(proof.dueAtMs / 1_000)) throw refuse('was written before it was due');
      return;
    }
    const order = await verifyPastOrder(proof.order, log);
    if (order.act !== 'rotate' || order.record !== place.uid || order.aud !== `gateway:${gateway.uid}`) {
      throw refuse('was ordered for something else');
    }
    if (order.base + 1 !== place.rev) throw refuse('is not the revision that was ordered');
    if (at < order.iat - orderToleranceSeconds || at > order.exp + orderToleranceSeconds) {
      throw refuse('was not written while its order held');
    }
  } catch (reason) {
    if (reason instanceof PamError && reason.code !== 'PAM_ORDER_INVALID') throw reason;
    throw refuse('carries an order that is not valid', reason);
  }
}
