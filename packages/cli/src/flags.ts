import { PamError } from '@sallyport/protocol';
import type { z } from 'zod';

/** Checks the flags of a command. PAM_USAGE naming the flag. */
export function readFlags<Schema extends z.ZodType>(schema: Schema, flags: unknown): z.output<Schema> {
  const parsed = schema.safeParse(flags);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const name = String(issue?.path[0] ?? '').replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new PamError('PAM_USAGE', `--${name}: ${issue?.message ?? 'not understood'}`);
}

/** Argument `index` of a command; commander has checked that it is there. */
export function argument(args: readonly string[], index: number): string {
  const text = args[index];
  if (text === undefined) throw new PamError('PAM_USAGE', `argument ${index + 1} is missing`);
  return text;
}
