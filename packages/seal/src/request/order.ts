import {
  deviceIdSchema,
  type GatewayUid,
  headSchema,
  itemUidSchema,
  jobIdSchema,
  PamError,
  revisionSchema,
} from '@sallyport/protocol';
import { z } from 'zod';
import { openStatement, readStatement, signStatement } from '../jose/statement.ts';
import type { SigningKey } from '../keys/ec-key.ts';
import { checkHead, type LogState } from '../log/state.ts';
import { refusal } from '../refuse.ts';

/** An order is obeyed for this long after it was signed, and not once the record has moved on. */
export const orderLifeSeconds = 86_400;
/** Difference of clocks that is forgiven. */
export const orderToleranceSeconds = 60;

const seconds = z.int().min(0).max(253_402_300_799);
const orderSchema = z.strictObject({
  iss: deviceIdSchema,
  aud: z.string().regex(/^gateway:[A-Za-z][\w-]{21}$/),
  jti: z.string().regex(/^[\w-]{22,64}$/),
  iat: seconds,
  exp: seconds,
  act: z.enum(['rotate', 'check', 'rehearse', 'retire', 'after']),
  /** Of `after`: also what ended well before; without it only what did not. */
  again: z.exactOptional(z.literal('all')),
  job: jobIdSchema,
  record: itemUidSchema,
  /** Revision of the record's secrets that it starts from; 0 when there are none. */
  base: z.int().min(0).max(1_000_000_000),
  /**
   * Least revision of the facts of each item it stands on: record, resource, configuration, administrative credential,
   * and what scripts and services name.
   */
  revs: z.record(itemUidSchema, revisionSchema).refine((revs) => {
    const count = Object.keys(revs).length;
    return count >= 1 && count <= 64;
  }),
  head: headSchema,
});

/** What a device signs for one job; an instance begins nothing without it or a standing order. */
export type Order = Readonly<z.infer<typeof orderSchema>>;

/** @throws PAM_BAD_REQUEST when the claims are malformed. */
export async function signOrder(claims: z.input<typeof orderSchema>, device: SigningKey): Promise<string> {
  const parsed = orderSchema.safeParse(claims);
  if (parsed.success) return signStatement('sallyport-order+jwt', parsed.data, device);
  throw new PamError('PAM_BAD_REQUEST', 'The claims of an order are malformed.', { cause: parsed.error });
}

const rules = {
  typ: 'sallyport-order+jwt',
  maxChars: 16_384,
  schema: orderSchema,
  code: 'PAM_ORDER_INVALID',
  what: 'The order',
} as const;
const refuse = (why: string, problem: string): PamError => refusal(rules.code, why, `The order ${problem}.`);

/** The claims without any check but their form: for the router's lists. */
export function peekOrder(jwt: string): Order {
  return readStatement(jwt, rules).payload;
}

function checkForm(kid: string, order: Order): void {
  if (order.iss !== kid) throw refuse('issuer', 'is signed by another device than it names');
  if (order.exp !== order.iat + orderLifeSeconds) throw refuse('life', 'does not end after 24 hours');
  if (!Object.hasOwn(order.revs, order.record)) throw refuse('revs', 'names no revision of its record');
}

/**
 * Verifies an order as the instance must before it acts: its signer may use secrets now, it is for this gateway, and
 * not too old.
 *
 * @throws PAM_ORDER_INVALID with why: size, form, header, payload, signer, right, signature, issuer, life, audience, early,
 * revs; PAM_ORDER_SPENT when it is over; PAM_TRUST_BEHIND when the sender knows a newer log: fetch, fold, verify again.
 */
export async function verifyOrder(
  jwt: string,
  want: { readonly gateway: GatewayUid; readonly log: LogState; readonly nowSeconds: number },
): Promise<Order> {
  const { log, nowSeconds } = want;
  const { kid, payload: order } = await openStatement(jwt, {
    ...rules,
    keyOf: (device, claims) => {
      const known = log.devices.get(device);
      if (known === undefined) {
        if (claims.head.n > log.head.n) checkHead(log, claims.head);
        return undefined;
      }
      if (log.grants(device, 'secrets')) return known.key;
      throw refuse('right', 'is signed by a device that may not use secrets');
    },
  });
  checkForm(kid, order);
  if (order.aud !== `gateway:${want.gateway}`) throw refuse('audience', 'is for another gateway');
  if (order.iat > nowSeconds + orderToleranceSeconds) {
    throw refuse('early', `was signed ${order.iat - nowSeconds} s in the future: compare the clocks`);
  }
  if (nowSeconds > order.exp + orderToleranceSeconds) {
    throw new PamError('PAM_ORDER_SPENT', `the order ended ${nowSeconds - order.exp} s ago`, {
      detail: { why: 'expired' },
    });
  }
  checkHead(log, order.head);
  return order;
}

/**
 * Verifies an order that was obeyed in the past: its signer is or was a device of a person who may use secrets. Removing
 * the device later takes no password away from those who stay (ADR 0015).
 *
 * @throws PAM_ORDER_INVALID.
 */
export async function verifyPastOrder(jwt: string, log: LogState): Promise<Order> {
  const { kid, payload: order } = await openStatement(jwt, {
    ...rules,
    keyOf: (device) => {
      const known = log.devices.get(device);
      const rights = known === undefined ? [] : (log.persons.get(known.person)?.rights ?? []);
      return rights.includes('secrets') ? known?.key : undefined;
    },
  });
  checkForm(kid, order);
  return order;
}
