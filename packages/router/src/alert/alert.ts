import type { AlertKind, AlertMessage, GatewayUid, InstanceId } from '@sallyport/protocol';

/** Something that holds now and that one may want to be told of, if it lasts. */
export interface Condition {
  readonly kind: AlertKind;
  readonly gateway: GatewayUid | null;
  readonly instance: InstanceId | null;
  readonly summary: string;
  readonly detail: AlertMessage['detail'];
}

/** Names the alert a condition belongs to. */
export function keyOf(of: Pick<Condition, 'kind' | 'gateway' | 'instance' | 'detail'>): string {
  const why = of.kind === 'needs-attention' ? String(of.detail['why'] ?? '') : null;
  return [of.kind, of.gateway, of.instance, why].filter((part) => part !== null).join(':');
}

/** An alert that was told. Times are wall times, Unix milliseconds. */
export interface Firing {
  readonly condition: Condition;
  readonly sinceAtMs: number;
  readonly firedAtMs: number;
  readonly toldAtMs: number;
}

/** What `stepAlerts` wants told; the outbox makes a message of it. */
export interface Telling extends Firing {
  readonly status: AlertMessage['status'];
  readonly resolvedAtMs: number | null;
  readonly resolution: AlertMessage['resolution'];
}
