import { type PermissionName, permissionNames } from '@sallyport/protocol';
import { z } from 'zod';
import { checkNetwork } from './target-address.ts';

const onOff = z.enum(['on', 'off']);
const list = z.array(z.string().max(256)).max(256);

/** Flags that `config new` and `config edit` share. */
export const configurationFlagsSchema = z.object({
  name: z.string().min(1).max(256).optional(),
  title: z.string().min(1).max(256).optional(),
  gateway: z.string().optional(),
  network: list.optional(),
  networkCidr: list.optional(),
  connections: onOff.optional(),
  tunneling: onOff.optional(),
  rotation: onOff.optional(),
  recording: onOff.optional(),
  tag: list.optional(),
  notes: z.string().optional(),
  environment: z.literal('local').optional(),
});
export type ConfigurationFlags = z.infer<typeof configurationFlagsSchema>;

/** The switches that were given. */
export function permissionsOf(flags: ConfigurationFlags): Partial<Record<PermissionName, 'on' | 'off'>> {
  const given: Partial<Record<PermissionName, 'on' | 'off'>> = {};
  for (const name of permissionNames) {
    const value = flags[name];
    if (value !== undefined) given[name] = value;
  }
  return given;
}

/** The networks that were given, each checked. PAM_USAGE. */
export function networksOf(flags: ConfigurationFlags): readonly string[] {
  return [...(flags.network ?? []), ...(flags.networkCidr ?? [])].map(checkNetwork);
}
