import type { Run } from '../cli.ts';
import { currentProfile, profileNames } from '../profile/home.ts';
import { openProfileStore } from '../profile/profile-store.ts';
import { isoTime, showJson, showTable } from '../terminal/show.ts';

/** `pam profile list`: the profiles of this machine, which one is current, and until when each is signed in. */
export const run: Run = async (cli) => {
  const current = await currentProfile(cli.home);
  const rows: { name: string; router: string; person: string; signedInUntil: string | null; current: boolean }[] = [];
  for (const name of await profileNames(cli.home)) {
    const store = openProfileStore(cli.home, name, cli);
    const profile = await store.readProfile();
    if (profile === null) continue;
    const signIn = await store.readSignIn();
    const valid = signIn !== null && signIn.expiresAtMs > cli.clock.nowMs();
    rows.push({
      name,
      router: profile.router,
      person: profile.person.name,
      signedInUntil: valid ? isoTime(signIn.expiresAtMs) : null,
      current: name === current,
    });
  }
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      profiles: rows.map(({ signedInUntil, ...row }) => ({ ...row, signed_in_until: signedInUntil })),
    });
    return undefined;
  }
  if (rows.length === 0)
    cli.terminal.err('There is no profile yet: pam setup HOST:PORT CODE claims a new router, pam login signs in.\n');
  else {
    showTable(
      cli.terminal,
      ['', 'profile', 'router', 'person', 'signed in until'],
      rows.map((row) => [
        row.current ? '*' : '',
        row.name,
        row.router,
        row.person,
        row.signedInUntil ?? 'not signed in',
      ]),
    );
  }
  return undefined;
};
