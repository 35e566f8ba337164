import { randomBytes } from 'node:crypto';
import { type GatewayUid, gatewayUidSchema, type InstanceId, newUid } from '../../packages/protocol/src/index.ts';
import {
  newInstanceIdentity,
  newSessionIdentity,
  newSigningKey,
  type PublicJwk,
} from '../../packages/seal/src/index.ts';

/** What the harness processes need of each other; plain data, sent over IPC. */
export interface BenchIdentities {
  readonly gateway: GatewayUid;
  readonly poolPublicJwk: PublicJwk;
  readonly instance: { readonly id: InstanceId; readonly certificatePem: string; readonly privateKeyPem: string };
  readonly session: { readonly certificatePem: string; readonly privateKeyPem: string };
  readonly sessionKey: string;
}

export async function makeBenchIdentities(): Promise<BenchIdentities> {
  const gateway = gatewayUidSchema.parse(newUid((length) => randomBytes(length)));
  const pool = await newSigningKey();
  const { id, certificatePem, privateKeyPem } = await newInstanceIdentity(pool, gateway, Date.now());
  const session = await newSessionIdentity(Date.now());
  return {
    gateway,
    poolPublicJwk: pool.publicJwk,
    instance: { id, certificatePem, privateKeyPem },
    session: { certificatePem: session.certificatePem, privateKeyPem: session.privateKeyPem },
    sessionKey: session.thumbprint,
  };
}
