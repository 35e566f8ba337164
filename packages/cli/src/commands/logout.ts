import { PamError, signOut } from '@sallyport/protocol';
import type { Run } from '../cli.ts';
import { openProfile, openSignedIn } from '../person/signed-in.ts';

/**
 * `pam logout`: ends the sign-in at the router, then shreds device key, account secret and person keys here. What was
 * seen of the router's logs is kept, so that a later sign-in still notices a rollback.
 */
export const run: Run = async (cli) => {
  const { store, profile } = await openProfile(cli);
  try {
    const { client } = await openSignedIn(cli);
    await client.call(signOut, { body: {} });
    client.close();
  } catch (reason) {
    if (!(reason instanceof PamError)) throw reason;
    if (reason.code !== 'PAM_NOT_SIGNED_IN') {
      cli.terminal.err(`The router was not told (${reason.message}); its record of the sign-in ends by itself.\n`);
    }
  }
  await store.forgetKeys();
  cli.terminal.err(`Signed out of ${profile.router}; the keys of this device are shredded (profile ${store.name}).\n`);
  return undefined;
};
