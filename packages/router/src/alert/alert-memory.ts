import {
  type AlertMessage,
  alertDetailSchema,
  alertKindSchema,
  alertMessageSchema,
  gatewayUidSchema,
  instanceIdSchema,
} from '@sallyport/protocol';
import { z } from 'zod';
import type { Firing } from './alert.ts';

/** What a router remembers of its alerts over a restart. */
const alertMemorySchema = z.strictObject({
  v: z.literal(1),
  firing: z
    .array(
      z.strictObject({
        condition: z.strictObject({
          kind: alertKindSchema,
          gateway: gatewayUidSchema.nullable(),
          instance: instanceIdSchema.nullable(),
          summary: z.string().max(512),
          detail: alertDetailSchema,
        }),
        sinceAtMs: z.number(),
        firedAtMs: z.number(),
        toldAtMs: z.number(),
      }) satisfies z.ZodType<Firing>,
    )
    .max(2_000),
  waiting: z.array(alertMessageSchema).max(2_000),
});
export interface AlertMemory {
  readonly v: 1;
  readonly firing: readonly Firing[];
  readonly waiting: readonly AlertMessage[];
}

/** Where it is kept; one small file, or what a test has. */
export interface AlertKeeper {
  /** Null when there is nothing, or nothing that can be read. */
  read(): string | null;
  write(text: string): void;
}

/** @throws ZodError or SyntaxError when the text is not what a router wrote. */
export function readAlertMemory(keeper: AlertKeeper): AlertMemory {
  const text = keeper.read();
  return text === null ? { v: 1, firing: [], waiting: [] } : alertMemorySchema.parse(JSON.parse(text));
}
