import type { GatewayUid, InstanceId } from '@sallyport/protocol';
import { type InstanceIdentity, newInstanceIdentity, type SigningKey } from '@sallyport/seal';

/** A certificate lives 24 h; a new one for the same key is made from this age on. */
const renewAfterMs = 43_200_000;

/** Key pair of this process and its newest certificate. The key never leaves memory. */
export interface IdentityKeeper {
  readonly id: InstanceId;
  readonly key: SigningKey;
  current(): Promise<InstanceIdentity>;
}

/** Makes the instance's key pair; its thumbprint is the instance id, so no other key can claim it. */
export async function createIdentityKeeper(
  pool: SigningKey,
  gateway: GatewayUid,
  nowMs: () => number,
): Promise<IdentityKeeper> {
  let identity = await newInstanceIdentity(pool, gateway, nowMs());
  let madeAtMs = nowMs();
  const { id, key } = identity;
  return {
    id,
    key,
    current: async () => {
      if (Math.abs(nowMs() - madeAtMs) >= renewAfterMs) {
        const renewed = await newInstanceIdentity(pool, gateway, nowMs(), key);
        identity = renewed;
        madeAtMs = nowMs();
      }
      return identity;
    },
  };
}
