import { itemsInCall, type ItemUid, PamError, type RecordType, type ResourceFacts } from '@sallyport/protocol';
import { importedUid, type ImportedLine } from './imported-uid.ts';
import type { VaultSession } from './open-session.ts';
import { pickApplication } from './pick-application.ts';
import { draftRecord, type KnownItems, type RecordDraft, readRecordInput } from './record-input.ts';
import { revisionKey } from './revision-memory.ts';
import { saveRecord, signCredentials } from './save-record.ts';
import { type Application, freshUid, type OpenedItem } from './vault.ts';

export const importLimits = { bytes: 64 * 1_024 * 1_024, lines: 10_000, lineBytes: 131_072 } as const;

/** Lines looked up at once before they are imported. */
export const linesAtOnce = itemsInCall;

/** A line as it stands in the file. */
export interface Line {
  /** From 1. */
  readonly line: number;
  readonly text: string;
  /** How many lines of the same text came before it. */
  readonly nth: number;
}

/** A line that was read, and what of it is in the vault already. */
interface ReadLine {
  readonly title: string;
  readonly type: RecordType;
  readonly input: ReturnType<typeof readRecordInput>;
  readonly application: Application;
  readonly uid: ItemUid;
  /** The record as an earlier run of the same import left it. */
  readonly before: OpenedItem | null;
}

/** What a line became, with the users that others can be linked to from now on. */
export interface Imported {
  readonly result: 'made' | 'made before' | 'would be made';
  readonly uid: ItemUid | null;
  readonly users: readonly OpenedItem<'pamUser'>[];
}

/** As much as can be said of a line that is refused. */
export interface Refusal {
  readonly title: string;
  readonly type: string;
  readonly error: PamError;
}

/** Reads lines and looks, all at once, for the records that they made before. At most 32. */
export async function readLines(
  session: VaultSession,
  lines: readonly Line[],
  application: string | undefined,
): Promise<readonly (ReadLine | Refusal)[]> {
  const read: (Omit<ReadLine, 'uid' | 'before'> | Refusal)[] = [];
  for (const { text } of lines) read.push(await readOne(session, text, application));
  const sought = read.flatMap((one, at) => {
    const line = lines[at];
    return 'error' in one || line === undefined ? [] : [{ ...line, app: one.application.app }];
  });
  const found = (await findMade(session, sought)).values();
  return read.map((one) => {
    if ('error' in one) return one;
    const place = found.next().value;
    if (place === undefined) throw new PamError('PAM_INTERNAL', 'a line was not looked up');
    const { uid, item } = place;
    return item instanceof PamError ? { ...one, error: item } : { ...one, uid, before: item };
  });
}

async function readOne(
  session: VaultSession,
  text: string,
  application: string | undefined,
): Promise<Omit<ReadLine, 'uid' | 'before'> | Refusal> {
  let [title, type] = ['', ''];
  try {
    const input = readRecordInput(parseLine(text));
    [title, type] = [input.title ?? '', input.type ?? ''];
    if (input.type === undefined) throw new PamError('PAM_USAGE', 'the field type is missing');
    if (title === '') throw new PamError('PAM_USAGE', 'the field title is missing');
    const picked = await pickApplication(session.vault, input.application ?? application);
    return { title, type: input.type, input, application: picked };
  } catch (reason) {
    if (!(reason instanceof PamError)) throw reason;
    return { title, type, error: reason };
  }
}

interface Place {
  readonly uid: ItemUid;
  readonly item: OpenedItem | PamError | null;
}

/** The record each line made, or the UID it will have: the first that was not removed again. */
async function findMade(
  session: VaultSession,
  lines: readonly Omit<ImportedLine, 'removed'>[],
): Promise<readonly Place[]> {
  if (lines.length === 0) return [];
  const { revs } = await session.store.readMemory();
  const found = new Map<number, Place>();
  for (let removed = 0; found.size < lines.length; removed += 1) {
    const open = [...lines.keys()].filter((at) => !found.has(at));
    const uids = new Map(open.map((at) => [at, importedUid(session.device.rest, { ...lineAt(lines, at), removed })]));
    const items = await session.vault.itemsAtOnce([...uids.values()]);
    for (const [at, uid] of uids) {
      const item = items.get(uid) ?? null;
      const isThere = !(item instanceof PamError && item.code === 'PAM_NOT_FOUND');
      if (isThere) found.set(at, { uid, item });
      else if (revs[revisionKey({ uid, part: 'facts' })] === undefined) found.set(at, { uid, item: null });
    }
  }
  return [...lines.keys()].map((at) => found.get(at) as Place);
}

function lineAt<T>(lines: readonly T[], at: number): T {
  const line = lines[at];
  if (line === undefined) throw new PamError('PAM_INTERNAL', `there is no line ${at}`);
  return line;
}

/**
 * Makes the record of a line, or finishes what an earlier run began of it.
 *
 * @throws whatever keeps this one record back.
 */
export async function importLine(
  session: VaultSession,
  line: ReadLine,
  known: KnownItems,
  dryRun: boolean,
): Promise<Imported> {
  const { uid, before, application } = line;
  const draft = draftRecord(line.type, line.input, known, null, application.app);
  if (before !== null) {
    const users = dryRun
      ? []
      : await signCredentials(session, uid, before.facts as ResourceFacts, stillLinked(before, draft));
    return { result: 'made before', uid, users };
  }
  if (dryRun) {
    const made = pretend(line.type, application.app, draft.facts);
    return { result: 'would be made', uid: null, users: onlyUser(made) };
  }
  const { record, users } = await saveRecord(session, null, uid, application.app, draft);
  return { result: 'made', uid, users: [...onlyUser(record), ...users] };
}

/** Credentials of the line that the record, which somebody may have edited since, still links. */
function stillLinked(before: OpenedItem, draft: RecordDraft): readonly OpenedItem<'pamUser'>[] {
  const links = 'credentials' in before.facts ? before.facts.credentials : [];
  return draft.credentials.filter((user) => links.some((link) => link.record === user.uid));
}

const onlyUser = (item: OpenedItem): readonly OpenedItem<'pamUser'>[] =>
  item.type === 'pamUser' ? [item as OpenedItem<'pamUser'>] : [];

function parseLine(text: string): unknown {
  if (Buffer.byteLength(text) > importLimits.lineBytes) {
    throw new PamError('PAM_TOO_LARGE', `the line is over ${importLimits.lineBytes} bytes`);
  }
  try {
    return JSON.parse(text);
  } catch (reason) {
    throw new PamError('PAM_USAGE', `not JSON: ${reason instanceof Error ? reason.message : ''}`);
  }
}

/** An item that a dry run makes up, so that later lines can name it. */
function pretend(type: RecordType, app: OpenedItem['app'], facts: OpenedItem<RecordType>['facts']): OpenedItem {
  const uid = freshUid();
  const mirror = {
    gateway: null,
    configuration: null,
    credentials: [],
    permissions: { connections: 'default', tunneling: 'default', rotation: 'default', recording: 'default' },
  } as const;
  return {
    uid,
    app,
    type,
    facts,
    title: facts.title,
    factsRev: 1,
    author: '',
    item: { uid, app, type, mirror: { ...mirror, credentials: [] }, createdAtMs: 0, modifiedAtMs: 0, parts: {} },
  };
}
