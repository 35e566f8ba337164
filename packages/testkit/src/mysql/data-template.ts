import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runChild } from '../process/child.ts';

const cache = fileURLToPath(new URL('../../../../node_modules/.cache/sallyport/', import.meta.url));

/** What the data folder and every start from it must agree on. */
export const sizes = ['--innodb-log-file-size=4M', '--innodb-data-file-path=ibdata1:4M:autoextend'];
export const rootPassword = 'root-of-the-lab';

/** Nobody but root, who comes by the socket and has a password. */
const accounts = `
DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');
DELETE FROM mysql.proxies_priv;
FLUSH PRIVILEGES;
ALTER USER root@localhost IDENTIFIED BY '${rootPassword}';
`;

/**
 * A data folder of this version to copy; made once for a checkout, 2 s, and 30 MB.
 *
 * @param asUser - who will own it; null: whoever runs this.
 */
export async function dataTemplate(asUser: string | null): Promise<string> {
  const { stdout } = await runChild('/usr/sbin/mariadbd', ['--no-defaults', '--version']);
  const version = /Ver (\S+)/.exec(stdout)?.[1] ?? 'unknown';
  const template = join(cache, `mariadb-${version}-${asUser ?? process.getuid?.() ?? 0}`);
  if (existsSync(template)) return template;
  await mkdir(cache, { recursive: true });
  const making = await mkdtemp(join(cache, 'making-'));
  try {
    await chmod(making, 0o755);
    const extra = join(making, 'accounts.sql');
    await writeFile(extra, accounts, { mode: 0o644 });
    const data = join(making, 'data');
    const made = await runChild('mariadb-install-db', [
      '--no-defaults',
      ...(asUser === null ? [] : [`--user=${asUser}`]),
      ...[`--datadir=${data}`, `--extra-file=${extra}`, ...sizes],
      ...['--auth-root-authentication-method=normal', '--skip-test-db', '--skip-name-resolve'],
    ]);
    if (made.code !== 0) throw new Error(`mariadb-install-db: ${made.stdout}${made.stderr}`);
    await rename(data, template).catch((error: unknown) => {
      // Another test was faster.
      if (!existsSync(template)) throw error;
    });
    return template;
  } finally {
    await rm(making, { recursive: true, force: true });
  }
}
