import { join } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { z } from 'zod';
import { readText } from './file-store.ts';

const settingsSchema = z.strictObject({
  profile: z.string().max(64).optional(),
  proxy: z.string().max(2_048).optional(),
  carrier: z.string().max(16).optional(),
  format: z.enum(['table', 'json']).optional(),
});
type Settings = z.infer<typeof settingsSchema>;

/** Defaults of flags from `pam.json`; absent file means none. PAM_CONFIG_INVALID naming the field. */
export async function readSettings(home: string): Promise<Settings> {
  const path = join(home, 'pam.json');
  const text = await readText(path, 65_536);
  if (text === null) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (reason) {
    throw new PamError('PAM_CONFIG_INVALID', `${path} is not JSON`, { cause: reason });
  }
  const parsed = settingsSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new PamError('PAM_CONFIG_INVALID', `${path}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`);
}
