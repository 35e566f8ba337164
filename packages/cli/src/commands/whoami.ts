import { whoAmI } from '@sallyport/protocol';
import type { Run } from '../cli.ts';
import { openSignedIn } from '../person/signed-in.ts';
import { showJson, showTable } from '../terminal/show.ts';

/** `pam whoami`: the person, device and router of the profile, as the router confirms them. */
export const run: Run = async (cli) => {
  const session = await openSignedIn(cli);
  const me = await session.client.call(whoAmI);
  session.client.close();
  const until = new Date(me.expiresAtMs).toISOString();
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      name: me.name,
      person_uid: me.person,
      device_id: me.device,
      device_label: session.device.label,
      profile: session.store.name,
      router: session.profile.router,
      signed_in_until: until,
      trust_log: { n: session.log.state().head.n, hash: session.log.state().head.hash },
    });
    return undefined;
  }
  showTable(
    cli.terminal,
    ['what', 'value'],
    [
      ['Name', me.name],
      ['Person UID', me.person],
      ['Device', `${session.device.label} (${me.device})`],
      ['Profile', session.store.name],
      ['Router', session.profile.router],
      ['Signed in until', until],
      ['Trust log', `entry ${session.log.state().head.n}, ${session.log.state().head.hash}`],
    ],
  );
  return undefined;
};
