import { PamError } from '@sallyport/protocol';
import type { Cli } from '../cli.ts';
import { jitter } from '../person/signed-in.ts';
import type { VaultSession } from '../vault/open-session.ts';
import type { FoundTarget } from './find-target.ts';
import type { TunnelState } from './registry.ts';
import type { SignedTunnel, TunnelParts } from './run-tunnel.ts';
import type { TunnelSession } from './tunnel-session.ts';

/** A tunnel opened with the sign-in that the profile has now. */
interface OpenedTunnel {
  readonly session: VaultSession;
  readonly found: FoundTarget;
  readonly tunnel: TunnelSession;
}

/**
 * How a tunnel takes over a later sign-in of its profile: everything is opened anew (device key, trust log, record,
 * permissions, session), because logout and login change the device, and days may have passed.
 *
 * @param open - finds the record by UID and starts a session; throws what `pam tunnel start` would.
 */
export async function keepSignedIn(
  cli: Pick<Cli, 'clock'>,
  first: OpenedTunnel,
  open: (recordUid: string) => Promise<OpenedTunnel>,
  changed: (state: TunnelState) => void,
): Promise<TunnelParts> {
  const { store } = first.session;
  const signIn = await store.readSignIn();
  let used = signIn?.accessToken ?? '';
  return {
    first: signed(first),
    looks: async () => {
      const file = await store.readSignIn();
      return file !== null && file.accessToken !== used && file.expiresAtMs > cli.clock.nowMs();
    },
    renew: async () => {
      const token = (await store.readSignIn())?.accessToken ?? '';
      const next = await open(first.found.recordUid);
      if (next.session.person.uid !== first.session.person.uid) {
        await next.tunnel.end();
        next.session.close();
        throw new PamError('PAM_NOT_SIGNED_IN', 'the profile belongs to somebody else now');
      }
      used = token;
      return signed(next);
    },
    changed,
    jitter,
  };
}

function signed(opened: OpenedTunnel): SignedTunnel {
  return {
    session: opened.tunnel,
    signInEndsAtMs: opened.session.expiresAtMs,
    close: async () => {
      opened.session.close();
      await opened.session.heads.flush();
    },
  };
}
