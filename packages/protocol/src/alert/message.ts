import { z } from 'zod';
import { gatewayUidSchema, instanceIdSchema } from '../ids.ts';

/** What one can be alerted of, and how bad it is. Closed; a newer version may add kinds. */
export const alertSeverities = {
  'gateway-offline': 'critical',
  'gateway-over-limit': 'warning',
  'member-suspect': 'warning',
  'pool-full': 'info',
  'needs-attention': 'warning',
} as const;
export type AlertKind = keyof typeof alertSeverities;
export const alertKinds = Object.keys(alertSeverities) as readonly AlertKind[];
export const alertKindSchema = z.enum(alertKinds as [AlertKind, ...AlertKind[]]);

const timeSchema = z.iso.datetime();
/** Counts and words of closed lists: never a title, host, address or name. */
export const alertDetailSchema = z.record(z.string().max(32), z.union([z.string().max(64), z.number()]));

/**
 * Body of one POST to an operator's webhook, version 1: what changed about one alert. UIDs only: the router does not
 * know titles. `key` names the alert (a receiver keeps one row for each), `delivery` this message, the same in each
 * attempt to deliver it.
 *
 * @see docs/operations.md, "Alerts by webhook"
 */
export const alertMessageSchema = z.strictObject({
  v: z.literal(1),
  event: z.literal('alert'),
  delivery: z.uuid(),
  /** `still-firing`: the same alert, once more. */
  status: z.enum(['firing', 'still-firing', 'resolved']),
  key: z.string().max(128),
  kind: alertKindSchema,
  severity: z.enum(['critical', 'warning', 'info']),
  /** Pin of the router that says it. */
  router: z.string().length(43),
  gateway: gatewayUidSchema.nullable(),
  instance: instanceIdSchema.nullable(),
  /** One English sentence for people. */
  summary: z.string().max(512),
  detail: alertDetailSchema,
  /** When the condition began, as far as the router saw it; when the alert fired; when it was over. */
  since: timeSchema,
  firedAt: timeSchema,
  resolvedAt: timeSchema.nullable(),
  /** `cleared`: it is well again. `gone`: what it was about is not there any more. */
  resolution: z.enum(['cleared', 'gone']).nullable(),
});
export type AlertMessage = z.infer<typeof alertMessageSchema>;
