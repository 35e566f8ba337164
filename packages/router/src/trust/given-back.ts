import { type ApplicationUid, type GatewayUid, PamError } from '@sallyport/protocol';
import { type LogState, peekEntry } from '@sallyport/seal';

/** What the router does when it takes an entry, beside storing it. */
export type EntryEffect =
  /** All members are revoked; wraps for the former box key go. */
  | { readonly kind: 'rekey'; readonly gateway: GatewayUid; readonly formerBoxKeyId: string }
  | { readonly kind: 'remove-gateway'; readonly gateway: GatewayUid }
  | { readonly kind: 'remove-item'; readonly uid: GatewayUid | ApplicationUid };

/**
 * Refuses what no route takes as a new entry: this way leads around none of them. Whoever adds a route for a kind adds it here.
 *
 * @throws PAM_TRUST_ENTRY_INVALID
 */
export function checkGivenBackKinds(entries: readonly string[]): void {
  for (const entry of entries) {
    const { body, n } = peekEntry(entry);
    const isNeverNew =
      body.kind === 'genesis' || body.kind === 'person' || (body.kind === 'generation' && body.gen > 1);
    if (!isNeverNew) continue;
    throw new PamError(
      'PAM_TRUST_ENTRY_INVALID',
      `entry ${n} of the trust log (${body.kind}) is not taken by this router`,
      {
        detail: { why: 'kind' },
      },
    );
  }
}

/**
 * What entries that are given back do: the same as when they were new, as far as it can be done from the log alone. What came
 * with an entry beside it (sealed facts, wraps) is lost.
 *
 * @param before - the log without them.
 * @param hasPool - whether the store knows a gateway; one that was made after the backup it does not.
 */
export function effectsOf(
  entries: readonly string[],
  before: LogState,
  hasPool: (gateway: GatewayUid) => boolean,
): readonly EntryEffect[] {
  return entries.flatMap((entry): EntryEffect[] => {
    const { body } = peekEntry(entry);
    switch (body.kind) {
      case 'gateway-rekeyed': {
        const { gateway } = body;
        const formerBoxKeyId = before.gateways.get(gateway)?.boxKeyId;
        return formerBoxKeyId !== undefined && hasPool(gateway) ? [{ kind: 'rekey', gateway, formerBoxKeyId }] : [];
      }
      case 'gateway-removed': {
        const { gateway } = body;
        const item: EntryEffect = { kind: 'remove-item', uid: gateway };
        return hasPool(gateway) ? [{ kind: 'remove-gateway', gateway }, item] : [item];
      }
      case 'app-removed':
        return [{ kind: 'remove-item', uid: body.app }];
      // Nothing but the log says who these are.
      case 'genesis':
      case 'person':
      case 'device':
      case 'device-removed':
      case 'application':
      case 'generation':
      case 'gateway':
      case 'router-pin':
        return [];
      default:
        return body satisfies never;
    }
  });
}
