import { PamError } from '@sallyport/protocol';
import type { Cli, Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { type Edit, type Edited, editFlagsSchema, editRotation, readEdit } from '../rotation/edit-settings.ts';
import { sameServerWarnings } from '../rotation/same-server.ts';
import { chosenUsers, type User } from '../rotation/rotated-record.ts';
import { settingsJson } from '../rotation/show-settings.ts';
import { withProgress } from '../terminal/progress.ts';
import { showJson } from '../terminal/show.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession, type VaultSession } from '../vault/open-session.ts';

/** `pam rotation edit -r RECORD | -f TAG/REGEX`: what is not named stays. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(editFlagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  try {
    const users = await chosenUsers(session, flags, (text) => findItem(session.vault, 'record', text, ['pamUser']));
    const edit = await readEdit(session, flags);
    const warnings = edit.resource === null ? [] : await sameServerWarnings(session, edit.resource);
    for (const warning of warnings) cli.terminal.err(`warning: ${warning}\n`);
    const changed: Edited[] = [];
    const howFar = () => `changing records, ${changed.length} of ${users.length}`;
    await withProgress(cli, howFar, async () => {
      for (const user of users) changed.push(await editOne(cli, session, user, edit));
    }).catch((reason: unknown) => {
      if (changed.length > 0) cli.terminal.err(`${changed.length} of ${users.length} records were changed before:\n`);
      throw reason;
    });
    for (const warning of new Set(changed.map((one) => one.warning))) {
      if (warning !== null) cli.terminal.err(`warning: ${warning}\n`);
    }
    const shown = changed.map(({ user }) => settingsJson(user, cli.clock.nowMs(), 3));
    if (cli.format === 'json') showJson(cli.terminal, flags.filter === undefined ? shown[0] : { records: shown });
    else
      for (const { user } of changed)
        cli.terminal.err(`The rotation of “${user.title}” is set: pam rotation info -r ${user.uid}\n`);
    return undefined;
  } finally {
    session.close();
  }
};

async function editOne(cli: Cli, session: VaultSession, user: User, edit: Edit): Promise<Edited> {
  try {
    return await editRotation(cli, session, user, edit);
  } catch (reason) {
    throw PamError.from(reason, 'PAM_INTERNAL', `“${user.title}” could not be changed`);
  }
}
