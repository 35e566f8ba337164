import { PamError } from '@sallyport/protocol';
import type { z } from 'zod';

/** A file of the profile as its schema says. PAM_CONFIG_INVALID naming the file and the field. */
export function parseFile<T>(path: string, text: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (reason) {
    throw damaged(path, 'is not JSON', reason);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw damaged(path, `has a bad field ${issue?.path.join('.') ?? ''}`, parsed.error);
}

function damaged(path: string, what: string, cause: unknown): PamError {
  return new PamError('PAM_CONFIG_INVALID', `${path} ${what}`, {
    cause,
    remedy: 'Restore the file, or make a new profile with pam login --profile NAME.',
  });
}
