import type { ApplicationUid, GatewayUid, ItemUid } from '@sallyport/protocol';
import type { AuditTrail } from '../audit/index.ts';
import type { Clock } from '../clock.ts';
import type { OpaqueServer, RateLimit, RouterIdentity } from '../identity/index.ts';
import type { PoolService } from '../pool/index.ts';
import type { RotationService } from '../rotation/index.ts';
import type { SessionService } from '../session/index.ts';
import type { Store } from '../store/index.ts';
import type { TrustLog } from '../trust/index.ts';

/** Brakes on what strangers may try, by name, by address and in all. */
export interface Brakes {
  readonly signInName: RateLimit;
  readonly signInAddress: RateLimit;
  readonly setupAddress: RateLimit;
  readonly recoveryAddress: RateLimit;
  readonly recoveryCode: RateLimit;
  readonly tokenAddress: RateLimit;
  readonly token: RateLimit;
  readonly resumeStream: RateLimit;
  readonly resumeDevice: RateLimit;
  readonly giveBack: RateLimit;
}

/** What the control links are told by the API. */
export interface LinkNews {
  /** The log, or these items of one application, changed: instances fetch when convenient. */
  changed(items: readonly ItemUid[], app: ApplicationUid | null): void;
  /** Everything of this gateway is to end. */
  gatewayRemoved(gateway: GatewayUid): void;
  /** Its pool keys were replaced: whoever is linked under the old ones ends, and so do their streams. */
  gatewayRekeyed(gateway: GatewayUid): void;
}

/** Brings the newest setup secret (printed by another process) into the store; answers its hash while it is alive. */
type FreshSetup = () => Promise<string | null>;

/** What the route handlers work with; wired once, in start-router.ts. */
export interface RouterParts {
  readonly store: Store;
  readonly trust: TrustLog;
  readonly audit: AuditTrail;
  readonly identity: RouterIdentity;
  readonly opaque: OpaqueServer;
  readonly pool: PoolService;
  readonly sessions: SessionService;
  readonly rotation: RotationService;
  readonly clock: Clock;
  readonly brakes: Brakes;
  readonly freshSetup: FreshSetup;
  readonly claimed: () => void;
  readonly version: string;
}
