import type { TargetKind } from '@sallyport/rotation';
import { activeDirectory } from './active-directory/active-directory.ts';
import { linuxPassword } from './linux-password/linux-password.ts';
import { mysql } from './mysql/mysql.ts';
import { openldap } from './openldap/openldap.ts';
import { postgresql } from './postgresql/postgresql.ts';
import { redis } from './redis/redis.ts';
import { sshKey } from './ssh-key/ssh-key.ts';

/** The kinds that come with the gateway, one line each; plug-ins are asked before them. */
export const inTreeKinds: readonly TargetKind[] = [
  openldap,
  activeDirectory,
  linuxPassword,
  sshKey,
  postgresql,
  mysql,
  redis,
];

export { makeKeyPair } from './ssh-key/make-key-pair.ts';
export { loadKinds } from './load-plugin.ts';
export { endLine, exits, readValues } from './ssh/program-text.ts';
export { runProgram, type RunEnd, type SshHost } from './ssh/remote-program.ts';
export { openSsh, secretsOf } from './ssh/ssh-login.ts';
