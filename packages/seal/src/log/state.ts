import type { ApplicationUid, DeviceId, GatewayUid, Head, PersonUid, Right } from '@sallyport/protocol';
import { PamError } from '@sallyport/protocol';
import type { PublicJwk } from '../keys/ec-key.ts';
import type { Commitments } from './entry.ts';

export interface LogPerson {
  readonly uid: PersonUid;
  readonly name: string;
  readonly signKey: PublicJwk;
  readonly signKeyId: string;
  readonly boxKey: PublicJwk;
  readonly boxKeyId: string;
  readonly rights: readonly Right[];
}

export interface LogDevice {
  readonly id: DeviceId;
  readonly person: PersonUid;
  readonly key: PublicJwk;
  readonly kind: 'cli';
  readonly label: string;
  /** Unix seconds of the entry that signed it in, by its signer's clock. */
  readonly since: number;
  readonly removed: boolean;
}

export interface LogApplication {
  readonly uid: ApplicationUid;
  readonly removed: boolean;
  /** 0 before the first `generation` entry. */
  readonly currentGen: number;
  readonly generations: ReadonlyMap<number, Commitments>;
}

export interface LogGateway {
  readonly uid: GatewayUid;
  readonly app: ApplicationUid;
  readonly signKey: PublicJwk;
  readonly signKeyId: string;
  readonly boxKey: PublicJwk;
  readonly boxKeyId: string;
  /** Signing keys it had before `rekey`, by id: secrets that its instances wrote under them stay readable. */
  readonly formerSignKeys: ReadonlyMap<string, PublicJwk>;
  readonly removed: boolean;
}

/** What the verified entries say so far. Never changed in place: `foldLog` answers a new one. */
export interface LogState {
  readonly anchor: string;
  /** Number and hash of the last entry; { n: -1, hash: '' } while empty. */
  readonly head: Head;
  readonly installation: string;
  /** Hash of entry n at index n. */
  readonly hashes: readonly string[];
  readonly persons: ReadonlyMap<string, LogPerson>;
  readonly devices: ReadonlyMap<string, LogDevice>;
  readonly apps: ReadonlyMap<string, LogApplication>;
  readonly gateways: ReadonlyMap<string, LogGateway>;
  readonly routerPins: readonly string[];
  readonly recoveryKey: PublicJwk | null;
  /** Whether this device's person holds the right now; false for unknown and removed devices. */
  grants(deviceId: string, right: Right): boolean;
  personOf(deviceId: string): LogPerson | undefined;
}

/** The same while entries are folded in; lives inside one `foldLog` call. */
export interface LogDraft {
  readonly anchor: string;
  installation: string;
  readonly hashes: string[];
  readonly persons: Map<string, LogPerson>;
  readonly devices: Map<string, LogDevice>;
  readonly apps: Map<string, LogApplication>;
  readonly gateways: Map<string, LogGateway>;
  routerPins: readonly string[];
  recoveryKey: PublicJwk | null;
  /** Thumbprints of all keys ever named: one key has one role, once. */
  readonly keys: Set<string>;
}

export function draftGrants(draft: LogDraft, deviceId: string, right: Right): boolean {
  const device = draft.devices.get(deviceId);
  if (device === undefined || device.removed) return false;
  return draft.persons.get(device.person)?.rights.includes(right) ?? false;
}

export function openDraft(state: LogState, keys: ReadonlySet<string>): LogDraft {
  return {
    anchor: state.anchor,
    installation: state.installation,
    hashes: [...state.hashes],
    persons: new Map(state.persons),
    devices: new Map(state.devices),
    apps: new Map(state.apps),
    gateways: new Map(state.gateways),
    routerPins: state.routerPins,
    recoveryKey: state.recoveryKey,
    keys: new Set(keys),
  };
}

const keysOf = new WeakMap<LogState, ReadonlySet<string>>();

export function knownKeys(state: LogState): ReadonlySet<string> {
  return keysOf.get(state) ?? new Set();
}

export function closeDraft(draft: LogDraft): LogState {
  const n = draft.hashes.length - 1;
  const { keys, ...plain } = draft;
  const state: LogState = {
    ...plain,
    head: { n, hash: draft.hashes[n] ?? '' },
    grants: (deviceId, right) => draftGrants(draft, deviceId, right),
    personOf: (deviceId) => {
      const device = draft.devices.get(deviceId);
      return device === undefined ? undefined : draft.persons.get(device.person);
    },
  };
  keysOf.set(state, keys);
  return state;
}

/**
 * An empty log that trusts only `anchor`, the hash of the first entry (43 characters).
 *
 * `createLog('')` is for making a genesis entry with `signEntry`; it accepts no entry.
 */
export function createLog(anchor: string): LogState {
  return closeDraft({
    anchor,
    installation: '',
    hashes: [],
    persons: new Map(),
    devices: new Map(),
    apps: new Map(),
    gateways: new Map(),
    routerPins: [],
    recoveryKey: null,
    keys: new Set(),
  });
}

/**
 * Refuses a log that does not contain the floor.
 *
 * @throws PAM_TRUST_SHORTENED when it is shorter, PAM_TRUST_FORKED when another entry stands there.
 */
export function checkFloor(state: LogState, floor: Head): void {
  if (state.head.n < floor.n) {
    throw new PamError(
      'PAM_TRUST_SHORTENED',
      `The trust log ends at entry ${state.head.n}, but entry ${floor.n} was seen before.`,
      { detail: { why: 'floor', shown: state.head.n, known: floor.n } },
    );
  }
  if (state.hashes[floor.n] !== floor.hash) {
    throw new PamError('PAM_TRUST_FORKED', `Entry ${floor.n} of the trust log is not the one seen before.`, {
      detail: { why: 'floor', entry: floor.n },
    });
  }
}

/**
 * Compares the head that another party names with what is known here.
 *
 * @throws PAM_TRUST_BEHIND when it knows entries that are missing here: fetch, fold and ask again; PAM_TRUST_FORKED
 * when it saw another entry at a number that is known here.
 */
export function checkHead(state: LogState, head: Head): void {
  if (head.n > state.head.n) {
    throw new PamError(
      'PAM_TRUST_BEHIND',
      `The other end knows entry ${head.n} of the trust log, here it ends at ${state.head.n}.`,
      { detail: { why: 'head', shown: state.head.n, known: head.n } },
    );
  }
  if (state.hashes[head.n] !== head.hash) {
    throw new PamError('PAM_TRUST_FORKED', `The other end saw another entry ${head.n} of the trust log.`, {
      detail: { why: 'head', entry: head.n },
    });
  }
}
