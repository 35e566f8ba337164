import { type DeviceId, PamError, type PersonUid } from '@sallyport/protocol';
import { type LogEntryBody, type LogState, peekEntry } from '@sallyport/seal';

type Body<Kind extends LogEntryBody['kind']> = Extract<LogEntryBody, { kind: Kind }>;

/**
 * Body of an entry of the kind expected; nothing is verified here, that is the fold's work.
 *
 * @throws PAM_TRUST_ENTRY_INVALID when it is of another kind.
 */
export function entryOfKind<Kind extends LogEntryBody['kind']>(entry: string | undefined, kind: Kind): Body<Kind> {
  const { body } = peekEntry(entry ?? '');
  if (body.kind !== kind) {
    throw new PamError('PAM_TRUST_ENTRY_INVALID', `a trust log entry of kind ${kind} is needed here, not ${body.kind}`);
  }
  return body as Body<Kind>;
}

/** The device entry that signs the caller in must name the key the caller proves to hold, and its person. */
export function checkOwnDevice(entry: string | undefined, device: DeviceId, person: PersonUid): void {
  const body = entryOfKind(entry, 'device');
  if (body.device.id === device && body.person === person) return;
  throw new PamError('PAM_TRUST_ENTRY_INVALID', 'the device entry names another device or person than the caller');
}

/** The first entry must name the person who claims and this router's key. */
export function checkGenesis(
  entries: readonly string[],
  want: { readonly name: string; readonly pin: string },
): Body<'genesis'> {
  const genesis = entryOfKind(entries[0], 'genesis');
  if (genesis.person.name !== want.name) {
    throw new PamError('PAM_TRUST_ENTRY_INVALID', 'the first entry names another person than the one who signs up');
  }
  if (!genesis.routerPins.includes(want.pin)) {
    throw new PamError('PAM_TRUST_ENTRY_INVALID', 'the first entry does not pin the key of this router');
  }
  return genesis;
}

/** Kinds that `POST /v1/log` takes: the others come with what they are about, by routes of their own. */
const plainEntryKinds: readonly LogEntryBody['kind'][] = ['device', 'device-removed', 'router-pin'];

/** A caller whose device is not in the log yet may only add that device. @throws PAM_NOT_ALLOWED, PAM_TRUST_ENTRY_INVALID */
export function checkPlainEntry(
  entry: string,
  caller: { readonly device: DeviceId; readonly person: PersonUid },
  state: LogState,
): void {
  const { kind } = peekEntry(entry);
  if (!plainEntryKinds.some((plain) => plain === kind)) {
    throw new PamError('PAM_TRUST_ENTRY_INVALID', `an entry of kind ${kind} is not taken here`);
  }
  if (state.devices.get(caller.device)?.removed === false) return;
  checkOwnDevice(entry, caller.device, caller.person);
}
