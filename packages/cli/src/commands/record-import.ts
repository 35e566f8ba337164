import { errorCatalog, isRouterAway, PamError, type WireError } from '@sallyport/protocol';
import { z } from 'zod';
import type { Cli, Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { readText } from '../profile/file-store.ts';
import { withProgress } from '../terminal/progress.ts';
import { showJson, showTable } from '../terminal/show.ts';
import { toPamError } from '../terminal/show-error.ts';
import { type Imported, importLimits, importLine, type Line, linesAtOnce, readLines } from '../vault/import-line.ts';
import { openVaultSession, type VaultSession } from '../vault/open-session.ts';
import type { KnownItems } from '../vault/record-input.ts';
import { knownItems } from '../vault/save-record.ts';
import type { OpenedItem } from '../vault/vault.ts';

const flagsSchema = z.object({ application: z.string().optional(), dryRun: z.boolean().default(false) });

interface Row {
  readonly line: number;
  readonly result: Imported['result'] | 'refused';
  readonly title: string;
  readonly type: string;
  readonly record_uid: string | null;
  readonly error: WireError | null;
}

/**
 * `pam record import FILE`: each line of JSON is one record of its own; one that is refused does not stop the others.
 * Users made by earlier lines can be linked by later ones. `--dry-run` does all the checks and writes nothing.
 *
 * A line whose record this device made before is not made again: what was cut off, or refused and corrected, is imported
 * by the same command.
 *
 * @returns the exit code of the first refused line.
 */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const lines = await readFileLines(cli, argument(args, 0));
  const session = await openVaultSession(cli);
  const rows: Row[] = [];
  try {
    await withProgress(
      cli,
      () => `importing, ${rows.length} of ${lines.length} lines`,
      async () => importLines(cli, session, lines, flags, rows),
    );
  } finally {
    session.close();
    if (rows.length > 0 || lines.length === 0) report(cli, rows);
  }
  const refused = rows.find((row) => row.error !== null)?.error;
  return refused === undefined || refused === null ? undefined : errorCatalog[refused.code].exit;
};

/** One row after the other, so that those that are done can be told when an error ends it. */
async function importLines(
  cli: Cli,
  session: VaultSession,
  lines: readonly Line[],
  flags: z.infer<typeof flagsSchema>,
  rows: Row[],
): Promise<void> {
  const known = await linkable(session);
  for (let from = 0; from < lines.length; from += linesAtOnce) {
    const some = lines.slice(from, from + linesAtOnce);
    for (const [at, read] of (await readLines(session, some, flags.application)).entries()) {
      cli.signal.throwIfAborted();
      const { title, type } = read;
      const row = { line: some[at]?.line ?? 0, title, type };
      try {
        if ('error' in read) throw read.error;
        const { result, uid, users } = await importLine(session, read, known.items, flags.dryRun);
        known.add(users);
        rows.push({ ...row, result, record_uid: uid, error: null });
      } catch (reason) {
        const error = toPamError(reason);
        if (isRouterAway(error.code) || error.code === 'PAM_INTERRUPTED') throw error;
        const { code, message, remedy, detail } = error;
        rows.push({ ...row, result: 'refused', record_uid: null, error: { code, message, remedy, detail } });
      }
    }
  }
}

/** What lines can be linked to, which grows with them. */
async function linkable(
  session: VaultSession,
): Promise<{ readonly items: KnownItems; add(users: readonly OpenedItem<'pamUser'>[]): void }> {
  const { configurations, users } = await knownItems(session);
  const all = [...users];
  const places = new Map(all.map((user, at) => [user.uid, at]));
  return {
    items: { configurations, users: all },
    add: (changed) => {
      for (const user of changed) {
        const at = places.get(user.uid) ?? all.length;
        all[at] = user;
        places.set(user.uid, at);
      }
    },
  };
}

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
  const [before, refused] = [countOf(rows, 'made before'), countOf(rows, 'refused')];
  const verb = countOf(rows, 'would be made') > 0 ? 'would be made' : 'made';
  cli.terminal.err(
    `${rows.length - before - refused} of ${rows.length} lines ${verb}, ${before === 0 ? '' : `${before} made before, `}${refused} refused.\n`,
  );
}

const countOf = (rows: readonly Row[], result: Row['result']): number =>
  rows.filter((row) => row.result === result).length;

async function readFileLines(cli: Cli, file: string): Promise<readonly Line[]> {
  const whole =
    file === '-' ? await cli.terminal.readInput(importLimits.bytes) : await readText(file, importLimits.bytes);
  if (whole === null) throw new PamError('PAM_NOT_FOUND', `there is no file ${file}`, { remedy: 'Check the path.' });
  const seen = new Map<string, number>();
  const lines = whole
    .split(/\r?\n/)
    .map((one, index) => ({ text: one.trim(), line: index + 1 }))
    .filter((one) => one.text !== '')
    .map((one) => {
      const nth = seen.get(one.text) ?? 0;
      seen.set(one.text, nth + 1);
      return { ...one, nth };
    });
  if (lines.length > importLimits.lines) {
    throw new PamError('PAM_TOO_LARGE', `the file has ${lines.length} records, the limit is ${importLimits.lines}`);
  }
  return lines;
}
