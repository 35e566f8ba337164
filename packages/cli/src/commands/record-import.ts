import { errorCatalog, isRouterAway, PamError, type RecordType, type WireError } from '@sallyport/protocol';
import { z } from 'zod';
import type { Cli, Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { readText } from '../profile/file-store.ts';
import { showJson, showTable } from '../terminal/show.ts';
import { toPamError } from '../terminal/show-error.ts';
import { openVaultSession, type VaultSession } from '../vault/open-session.ts';
import { pickApplication } from '../vault/pick-application.ts';
import { draftRecord, type KnownItems, readRecordInput } from '../vault/record-input.ts';
import { knownItems, saveRecord } from '../vault/save-record.ts';
import { freshUid, type OpenedItem } from '../vault/vault.ts';

const flagsSchema = z.object({ application: z.string().optional(), dryRun: z.boolean().default(false) });
const importLimits = { bytes: 64 * 1_024 * 1_024, lines: 10_000, lineBytes: 131_072 } as const;

interface Row {
  readonly line: number;
  readonly result: 'made' | 'would be made' | 'refused';
  readonly title: string;
  readonly type: string;
  readonly record_uid: string | null;
  readonly error: WireError | null;
}

/**
 * `pam record import FILE`: each line of JSON is one record of its own; one that is refused does not stop the others.
 * Users made by earlier lines can be linked by later ones. `--dry-run` does all the checks and writes nothing.
 *
 * @returns the exit code of the first refused line.
 */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const lines = await readLines(cli, argument(args, 0));
  const session = await openVaultSession(cli);
  let known = await knownItems(session);
  const rows: Row[] = [];
  let exit: number | undefined;
  for (const { text, line } of lines) {
    cli.signal.throwIfAborted();
    let [title, type] = ['', ''];
    try {
      const input = readRecordInput(parseLine(text));
      [title, type] = [input.title ?? '', input.type ?? ''];
      if (input.type === undefined) throw new PamError('PAM_USAGE', 'the field type is missing');
      if (title === '') throw new PamError('PAM_USAGE', 'the field title is missing');
      const application = await pickApplication(session.vault, input.application ?? flags.application);
      const draft = draftRecord(input.type, input, known, null, application.app);
      const made = flags.dryRun
        ? pretend(input.type, application.app, draft.facts)
        : await saveRecord(session, null, freshUid(), application.app, draft);
      known = await withNew(session, known, made, flags.dryRun);
      rows.push({
        line,
        result: flags.dryRun ? 'would be made' : 'made',
        title,
        type,
        record_uid: flags.dryRun ? null : made.uid,
        error: null,
      });
    } catch (reason) {
      const error = toPamError(reason);
      if (isRouterAway(error.code) || error.code === 'PAM_INTERRUPTED') {
        report(cli, rows);
        throw error;
      }
      exit ??= errorCatalog[error.code].exit;
      const { code, message, remedy, detail } = error;
      rows.push({ line, result: 'refused', title, type, record_uid: null, error: { code, message, remedy, detail } });
    }
  }
  session.close();
  report(cli, rows);
  return exit;
};

function report(cli: Cli, rows: readonly Row[]): void {
  if (cli.format === 'json') showJson(cli.terminal, { rows });
  else {
    showTable(
      cli.terminal,
      ['line', 'result', 'type', 'title', 'uid', 'why'],
      rows.map((row) => [
        row.line,
        row.result,
        row.type,
        row.title,
        row.record_uid ?? '',
        row.error === null ? '' : `${row.error.message} (${row.error.code})`,
      ]),
    );
  }
  const refused = rows.filter((row) => row.result === 'refused').length;
  cli.terminal.err(
    `${rows.length - refused} of ${rows.length} lines ${rows.some((row) => row.result === 'would be made') ? 'would be made' : 'made'}, ${refused} refused.\n`,
  );
}

async function readLines(cli: Cli, file: string): Promise<readonly { readonly text: string; readonly line: number }[]> {
  const text =
    file === '-' ? await cli.terminal.readInput(importLimits.bytes) : await readText(file, importLimits.bytes);
  if (text === null) throw new PamError('PAM_NOT_FOUND', `there is no file ${file}`, { remedy: 'Check the path.' });
  const lines = text
    .split(/\r?\n/)
    .map((one, index) => ({ text: one.trim(), line: index + 1 }))
    .filter((one) => one.text !== '');
  if (lines.length > importLimits.lines) {
    throw new PamError('PAM_TOO_LARGE', `the file has ${lines.length} records, the limit is ${importLimits.lines}`);
  }
  return lines;
}

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

async function withNew(
  session: VaultSession,
  known: KnownItems,
  made: OpenedItem,
  dryRun: boolean,
): Promise<KnownItems> {
  if (made.type === 'pamUser') return { ...known, users: [...known.users, made as OpenedItem<'pamUser'>] };
  const links = 'credentials' in made.facts ? made.facts.credentials : [];
  if (dryRun || links.length === 0) return known;
  const fresh = await Promise.all(links.map(async (link) => session.vault.item(link.record)));
  const users = known.users.map(
    (user) => (fresh.find((one) => one.uid === user.uid) as OpenedItem<'pamUser'> | undefined) ?? user,
  );
  return { ...known, users };
}
