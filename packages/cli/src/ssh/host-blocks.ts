import { plain } from '../terminal/terminal.ts';

/** A record as ssh should know it. */
export interface SshHost {
  readonly recordUid: string;
  /** Anything somebody wrote: it is never trusted to stand in a file that ssh reads. */
  readonly title: string;
  /** Sign-in name of its one launch credential, or null. */
  readonly login: string | null;
}

/** First line of every file that `--write` may replace. */
export const sshConfigHead = '# Written by pam ssh-config; changes are lost when it is written again.';

/**
 * Aliases end like this, so that a record whose title is `github.com` does not take over `ssh github.com` of everybody
 * who includes the file.
 */
const aliasEnd = '.pam';
/** What may stand in a `Host` line: no pattern signs, no quotes, no blanks. */
const safeAlias = /^[A-Za-z0-9][\w.-]{0,62}$/;
/** What may stand behind `User`: nothing that ssh or a shell reads as more than a name. */
const safeLogin = /^[A-Za-z0-9_][\w.@-]{0,63}$/;

/** Names ssh may be given for one record: its title where that is a safe name and no other record's, and its UID. */
export function aliasesOf(host: SshHost, all: readonly SshHost[]): readonly string[] {
  const byUid = `${host.recordUid}${aliasEnd}`;
  const isOnly = all.filter((one) => one.title.toLowerCase() === host.title.toLowerCase()).length === 1;
  if (!isOnly || !safeAlias.test(host.title)) return [byUid];
  const byTitle = `${host.title}${aliasEnd}`;
  const lower = byTitle.toLowerCase();
  return lower === byTitle ? [byTitle, byUid] : [byTitle, lower, byUid];
}

/**
 * One `Host` block for each record, to be included in an ssh_config. Records are named by UID in the command, and their
 * host keys are known under their UID: the key of one target is never accepted for another that took over its title.
 *
 * @param command - words of the program, as they are to be run by the user's shell.
 */
export function hostBlocks(hosts: readonly SshHost[], command: readonly string[]): string {
  const program = command.map(quoted).join(' ');
  const blocks = hosts.map((host) =>
    [
      `# ${commentText(host.title)}`,
      `Host ${aliasesOf(host, hosts).join(' ')}`,
      `  HostKeyAlias ${host.recordUid}`,
      '  CheckHostIP no',
      ...(host.login !== null && safeLogin.test(host.login) ? [`  User ${host.login}`] : []),
      `  ProxyCommand ${program} tunnel start ${host.recordUid} --stdio`,
    ].join('\n'),
  );
  return `${[sshConfigHead, ...blocks].join('\n\n')}\n`;
}

/** One word for the user's shell; `%` is doubled because ssh expands it first. */
function quoted(word: string): string {
  const text = word.replaceAll('%', '%%');
  return /^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Title as a comment: one line, no control characters. */
function commentText(title: string): string {
  return plain(title).replaceAll(/[\t\n\v\f\r\u0085\u2028\u2029]/g, ' ');
}
