import { randomBytes } from 'node:crypto';
import { Client } from 'pg';

/**
 * What a person would write who minds nothing: for each role a random password, ALTER ROLE, one fresh login. Nothing is
 * kept before the change, nothing is checked, nothing survives a crash.
 *
 * @returns seconds for all of them, `atOnce` at a time.
 */
export async function straightScript(
  server: { readonly port: number; readonly user: string; readonly password: string },
  roles: readonly string[],
  atOnce: number,
): Promise<number> {
  const host = '127.0.0.1';
  const { port, user, password } = server;
  const database = 'postgres';
  const startedMs = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    const admin = new Client({ host, port, user, password, database });
    await admin.connect();
    for (let role = roles[next++]; role !== undefined; role = roles[next++]) {
      const secret = randomBytes(24).toString('base64url');
      await admin.query(`ALTER ROLE ${admin.escapeIdentifier(role)} PASSWORD ${admin.escapeLiteral(secret)}`);
      const fresh = new Client({ host, port, user: role, password: secret, database });
      await fresh.connect();
      await fresh.end();
    }
    await admin.end();
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return (performance.now() - startedMs) / 1_000;
}
