import type { ItemUid, Script } from '@sallyport/protocol';

/** A script, and the item that carries it. */
export interface HeldScript {
  readonly script: Script;
  readonly holder: ItemUid;
}
export interface ScriptHolder {
  readonly uid: ItemUid;
  readonly scripts: readonly Script[] | undefined;
}

/** Scripts in the order they run: of the user, of its resource, of the configuration; each only after the one before. */
export function scriptsInOrder(
  user: ScriptHolder,
  resource: ScriptHolder | null,
  configuration: ScriptHolder,
): readonly HeldScript[] {
  return [user, ...(resource === null ? [] : [resource]), configuration].flatMap(({ uid, scripts = [] }) =>
    scripts.filter(({ enabled }) => enabled).map((script) => ({ script, holder: uid })),
  );
}

/** What a script reads: one line, base64 of JSON; `records` in it is base64 of a JSON array. */
export function inputLine(input: {
  readonly user: string;
  readonly oldPassword: string;
  readonly newPassword: string;
  readonly records: readonly unknown[];
}): string {
  const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64');
  return `${base64({ ...input, records: base64(input.records) })}\n`;
}
