import { recordTypes } from '@sallyport/protocol';
import type { Run } from '../cli.ts';
import { argument } from '../flags.ts';
import { isoTime, showJson, showTable, timeCell } from '../terminal/show.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession } from '../vault/open-session.ts';
import type { OldVersion } from '../vault/vault.ts';

/** `pam record history RECORD`: every stored revision, newest first; which fields changed, never what secrets were. */
export const run: Run = async (cli, args) => {
  const session = await openVaultSession(cli);
  const item = await findItem(session.vault, 'record', argument(args, 0), recordTypes);
  const versions = await session.vault.history(item);
  const { devices } = session.log.state();
  session.close();
  const rows = versions.map((version) => ({
    part: version.part,
    revision: version.rev,
    sealed_on: version.atMs,
    sealed_by: version.author,
    sealed_by_label: devices.get(version.author)?.label ?? null,
    key_generation: version.gen,
    changed: changedFields(
      version,
      versions.find((one) => one.part === version.part && one.rev === version.rev - 1),
    ),
  }));
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      record_uid: item.uid,
      title: item.title,
      versions: rows.map((row) => ({ ...row, sealed_on: isoTime(row.sealed_on) })),
    });
    return undefined;
  }
  showTable(
    cli.terminal,
    ['part', 'revision', 'sealed on', 'by', 'changed'],
    rows.map((row) => [
      row.part,
      row.revision,
      timeCell(row.sealed_on),
      row.sealed_by_label ?? row.sealed_by,
      row.changed.join(' '),
    ]),
  );
  return undefined;
};

/** Names of the fields that differ from the revision before. */
export function changedFields(version: OldVersion, before: OldVersion | undefined): readonly string[] {
  if (before === undefined) return version.rev === 1 ? ['(first)'] : ['(the one before is not kept)'];
  const [now, old] = [asFields(version.body), asFields(before.body)];
  return [...new Set([...Object.keys(now), ...Object.keys(old)])]
    .filter((key) => JSON.stringify(now[key]) !== JSON.stringify(old[key]))
    .sort();
}

function asFields(body: unknown): Readonly<Record<string, unknown>> {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
}
