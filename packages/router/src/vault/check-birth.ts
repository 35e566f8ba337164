import { type ApplicationUid, type GatewayUid, type KeyWrap, PamError, type WriteItem } from '@sallyport/protocol';
import { type LogState, thumbprint } from '@sallyport/seal';
import { checkItem } from './check-item.ts';

function refuse(message: string): PamError {
  return new PamError('PAM_BAD_REQUEST', message);
}

function checkFirst(item: WriteItem, type: WriteItem['type'], uid: string, app: string): void {
  if (item.type !== type || item.uid !== uid || item.app !== app) {
    throw refuse(`the item does not describe the ${type} that the log entry names`);
  }
  if (item.parts.facts?.rev !== 1) throw refuse('the first facts of an item are revision 1');
}

function checkWraps(wraps: readonly KeyWrap[], app: ApplicationUid, gen: number, recipients: readonly string[]): void {
  for (const wrap of wraps) {
    if (wrap.app !== app || wrap.gen > gen) throw refuse('a wrap is for another application or generation');
    if (!recipients.includes(wrap.recipient)) throw refuse('a wrap is for nobody whom the log names here');
  }
}

/** Item and wraps of a new application, against the log as it will stand after its two entries. */
export async function checkNewApplication(
  what: { readonly app: ApplicationUid; readonly item: WriteItem; readonly wraps: readonly KeyWrap[] },
  next: LogState,
): Promise<void> {
  checkFirst(what.item, 'application', what.app, what.app);
  checkItem(what.item, next);
  const recipients = [...next.persons.values()].map((person) => person.boxKeyId);
  if (next.recoveryKey !== null) recipients.push(await thumbprint(next.recoveryKey));
  checkWraps(what.wraps, what.app, 1, recipients);
}

/** Wraps of a gateway's new keys, against the log as it will stand after its entry. */
export function checkRekeyedGateway(
  what: { readonly gateway: GatewayUid; readonly wraps: readonly KeyWrap[] },
  next: LogState,
): void {
  const entry = next.gateways.get(what.gateway);
  const gen = entry === undefined ? undefined : next.apps.get(entry.app)?.currentGen;
  if (entry === undefined || gen === undefined) throw refuse('the log entry does not name this gateway');
  checkWraps(what.wraps, entry.app, gen, [entry.boxKeyId]);
}

/** Item and wraps of a new gateway, against the log as it will stand after its entry. */
export function checkNewGateway(
  what: {
    readonly gateway: GatewayUid;
    readonly app: ApplicationUid;
    readonly item: WriteItem;
    readonly wraps: readonly KeyWrap[];
  },
  next: LogState,
): void {
  checkFirst(what.item, 'gateway', what.gateway, what.app);
  checkItem(what.item, next);
  const entry = next.gateways.get(what.gateway);
  const gen = next.apps.get(what.app)?.currentGen;
  if (entry === undefined || gen === undefined) throw refuse('the log entry does not name this gateway');
  checkWraps(what.wraps, what.app, gen, [entry.boxKeyId]);
}
