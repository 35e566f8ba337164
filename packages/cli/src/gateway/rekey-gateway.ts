import { type ApplicationUid, type GatewayUid, rekeyGateway, type UserFacts } from '@sallyport/protocol';
import { exportPrivate, type JoinConfig, newBoxKey, newSigningKey } from '@sallyport/seal';
import type { Clock } from '../time/clock.ts';
import type { VaultSession } from '../vault/open-session.ts';
import { wrapsForPool } from './create-gateway.ts';

/** What came of a rekey. */
export interface Rekeyed {
  readonly config: JoinConfig;
  /** Instances that were cut off. */
  readonly cut: number;
}

/**
 * Gives a gateway new pool keys: their public halves in the trust log, the application's keys wrapped for them. From
 * that entry on every verifier refuses the old ones. The private halves exist in what this returns and nowhere else.
 */
export async function replacePoolKeys(
  session: VaultSession,
  clock: Clock,
  gateway: { readonly uid: GatewayUid; readonly app: ApplicationUid; readonly routers: readonly string[] },
): Promise<Rekeyed> {
  const { log, device, chain } = session;
  const [signKey, boxKey] = [await newSigningKey(), await newBoxKey()];
  const wraps = await wrapsForPool(session, clock, gateway.app, boxKey);
  const keys = { signKey: await exportPrivate(signKey), boxKey: await exportPrivate(boxKey) };
  const { uid } = gateway;
  return log.append(
    [{ kind: 'gateway-rekeyed', gateway: uid, signKey: signKey.publicJwk, boxKey: boxKey.publicJwk }],
    device.key,
    async ([entry = ''], after) => {
      const { cut } = await chain.call(rekeyGateway, { params: { uid }, body: { entry, wraps } }, [uid]);
      const config: JoinConfig = {
        v: 1,
        gateway: uid,
        app: gateway.app,
        routers: [...gateway.routers],
        pins: [...after.routerPins],
        anchor: after.anchor,
        floor: { n: after.head.n, hash: after.head.hash },
        ...keys,
      };
      return { config, cut };
    },
  );
}

/** A credential that the holder of the old configuration could read, and where it is good. */
export interface ReadableSecret {
  readonly recordUid: string;
  readonly title: string;
  readonly login: string;
  /** `host:port` of each resource that its record names. */
  readonly usableOn: readonly string[];
}

/** Every credential of the application: whoever held the pool's keys could open all of them. */
export async function readableSecrets(
  session: Pick<VaultSession, 'vault'>,
  app: ApplicationUid,
): Promise<{ readonly secrets: readonly ReadableSecret[]; readonly unreadable: number }> {
  const { items, unreadable } = await session.vault.items(['pamUser'], { app });
  const secrets = items.map((item): ReadableSecret => {
    const facts: UserFacts = item.facts;
    const usableOn = facts.usableOn.map(({ host, port }) =>
      host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
    );
    return { recordUid: item.uid, title: item.title, login: facts.login, usableOn };
  });
  return { secrets, unreadable: unreadable.length };
}
