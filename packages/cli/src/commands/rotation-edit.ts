import { PamError } from '@sallyport/protocol';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { editFlagsSchema, editRotation, readEdit } from '../rotation/edit-settings.ts';
import { sameServerWarnings } from '../rotation/same-server.ts';
import { chosenUsers, type User } from '../rotation/rotated-record.ts';
import { settingsJson } from '../rotation/show-settings.ts';
import { showJson } from '../terminal/show.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession } from '../vault/open-session.ts';

/** `pam rotation edit -r RECORD | -f TAG/REGEX`: what is not named stays. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(editFlagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  try {
    const users = await chosenUsers(session, flags, (text) => findItem(session.vault, 'record', text, ['pamUser']));
    const edit = await readEdit(session, flags);
    const warnings = edit.resource === null ? [] : await sameServerWarnings(session, edit.resource);
    for (const warning of warnings) cli.terminal.err(`warning: ${warning}\n`);
    const changed: User[] = [];
    for (const user of users) {
      try {
        changed.push(await editRotation(cli, session, user, edit));
      } catch (reason) {
        const error = PamError.from(reason, 'PAM_INTERNAL', `“${user.title}” could not be changed`);
        if (changed.length > 0) cli.terminal.err(`${changed.length} of ${users.length} records were changed before:\n`);
        throw error;
      }
    }
    const shown = changed.map((user) => settingsJson(user, cli.clock.nowMs(), 3));
    if (cli.format === 'json') showJson(cli.terminal, flags.filter === undefined ? shown[0] : { records: shown });
    else
      for (const user of changed)
        cli.terminal.err(`The rotation of “${user.title}” is set: pam rotation info -r ${user.uid}\n`);
    return undefined;
  } finally {
    session.close();
  }
};
