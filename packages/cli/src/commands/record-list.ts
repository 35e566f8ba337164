import { errorCatalog, recordTypes } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { errorText } from '../terminal/show-error.ts';
import { showJson, showTable, timeCell } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { readRecordType } from '../vault/record-flags.ts';
import { resolveName } from '../vault/resolve.ts';
import { endpointText, recordJson } from '../vault/show-record.ts';

const flagsSchema = z.object({
  application: z.string().optional(),
  type: z.string().optional(),
  tag: z.string().optional(),
  verbose: z.boolean().default(false),
});

/**
 * `pam record list`. Records that cannot be believed are told on standard error one by one, the others are listed, and
 * the exit code is that of the first error.
 */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const types = flags.type === undefined ? recordTypes : [readRecordType(flags.type)];
  const session = await openVaultSession(cli);
  const applications = await session.vault.applications();
  const application =
    flags.application === undefined ? undefined : resolveName('application', flags.application, applications);
  const found = await session.vault.items(types, application === undefined ? {} : { app: application.app });
  session.close();
  const { tag } = flags;
  const records = found.items.filter((item) => tag === undefined || item.facts.tags.includes(tag));
  if (cli.format === 'json') {
    showJson(cli.terminal, { records: records.map((item) => recordJson(item, applications, null, false)) });
  } else if (records.length === 0 && found.unreadable.length === 0) {
    cli.terminal.err(
      'There is no record: pam record new TYPE -n TITLE makes one, pam record template TYPE shows its fields.\n',
    );
  } else {
    const appName = (app: string) => applications.find((one) => one.app === app)?.title ?? app;
    const extra = flags.verbose ? ['revision', 'created', 'last modified', 'tags'] : [];
    showTable(
      cli.terminal,
      ['title', 'uid', 'type', 'target or login', 'application', ...extra],
      records.map((item) => [
        item.title,
        item.uid,
        item.type,
        endpointText(item),
        appName(item.app),
        ...(flags.verbose
          ? [
              item.factsRev,
              timeCell(item.item.createdAtMs),
              timeCell(item.item.modifiedAtMs),
              item.facts.tags.join(' '),
            ]
          : []),
      ]),
    );
  }
  for (const bad of found.unreadable) cli.terminal.err(`${bad.type} ${bad.uid} is left out: ${errorText(bad.error)}`);
  const [first] = found.unreadable;
  return first === undefined ? undefined : errorCatalog[first.error.code].exit;
};
