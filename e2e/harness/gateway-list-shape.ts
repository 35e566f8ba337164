import { z } from 'zod';

const uid = z.string().regex(/^[A-Za-z][\w-]{21}$/);
const time = z.iso.datetime();
const maybeTime = time.nullable();

/** What `pam gateway list --format json` promises: this shape for every gateway, with or without -v, nothing more. */
export const gatewayListSchema = z.strictObject({
  gateways: z.array(
    z.strictObject({
      gateway_uid: uid,
      gateway_name: z.string(),
      ksm_app_name: z.string().nullable(),
      ksm_app_uid: uid,
      status: z.enum(['online', 'degraded', 'over_limit', 'offline', 'never_connected']),
      gateway_version: z.string().nullable(),
      max_instances: z.int().min(1),
      connected_instances: z.int().min(0),
      created_on: time,
      last_modified: time,
      instances: z.array(
        z.strictObject({
          instance_id: z.string().regex(/^[\w-]{22}$/),
          state: z.enum(['joining', 'ready', 'suspect', 'draining', 'cordoned', 'standby']),
          health: z.enum(['ok', 'suspect', 'absent']),
          reason: z.string(),
          device_name: z.string(),
          os: z.string(),
          os_version: z.string(),
          arch: z.string(),
          machine_type: z.string(),
          gateway_version: z.string(),
          ip_address: z.string(),
          connected_on: maybeTime,
          since: time,
          last_heartbeat: maybeTime,
          streams: z.int().min(0),
          max_streams: z.int().min(1).nullable(),
          drain_by: z.enum(['operator', 'gateway', 'surplus']).nullable(),
          drain_deadline: maybeTime,
        }),
      ),
    }),
  ),
});
