import {
  type ApplicationUid,
  createGateway,
  type GatewayUid,
  gatewayUidSchema,
  type KeyWrap,
  PamError,
} from '@sallyport/protocol';
import {
  type BoxKey,
  exportPrivate,
  type JoinConfig,
  newBoxKey,
  newSigningKey,
  newToken,
  wrapKey,
} from '@sallyport/seal';
import { type Clock, nowSeconds } from '../time/clock.ts';
import type { VaultSession } from '../vault/open-session.ts';
import { freshUid } from '../vault/vault.ts';
import { listNamedGateways } from './list-named.ts';

export interface NewGateway {
  readonly uid: GatewayUid;
  readonly config: JoinConfig;
  /** 43 characters; null when none was asked for. */
  readonly token: string | null;
}

/** Every key of the application that this person holds, all generations, wrapped for a pool. */
export async function wrapsForPool(
  session: Pick<VaultSession, 'vault' | 'device'>,
  clock: Clock,
  app: ApplicationUid,
  boxKey: BoxKey,
): Promise<KeyWrap[]> {
  const wraps: KeyWrap[] = [];
  for (const { part, gen, key } of await session.vault.allKeys(app)) {
    const wrap = await wrapKey({ app, part, gen }, key, boxKey.publicJwk, session.device.key, nowSeconds(clock));
    wraps.push({ app, part, gen, recipient: boxKey.id, wrap });
  }
  return wraps;
}

/**
 * Makes a gateway: the pool's two keys, their public halves in the trust log, the application's keys wrapped for the
 * pool. The private halves exist in what this returns and, sealed under the token, at the router; nowhere else.
 *
 * PAM_CONFLICT when the application has a gateway of this title.
 */
export async function makeGateway(
  session: VaultSession,
  clock: Clock,
  want: {
    readonly title: string;
    readonly app: ApplicationUid;
    readonly maxInstances: number;
    readonly routers: readonly string[];
    readonly tokenMinutes: number | null;
  },
): Promise<NewGateway> {
  const { vault, log, device, chain } = session;
  const same = (await listNamedGateways(session)).find((one) => one.title === want.title && one.appUid === want.app);
  if (same !== undefined) throw new PamError('PAM_CONFLICT', `a gateway “${want.title}” exists already (${same.uid})`);
  const item = freshUid();
  const uid = gatewayUidSchema.parse(item);
  const [signKey, boxKey] = [await newSigningKey(), await newBoxKey()];
  const current = await vault.currentKeys(want.app, ['facts']);
  const facts = current.keys.get('facts');
  if (facts === undefined) throw new PamError('PAM_INTERNAL', 'the facts key was not fetched');
  const write = await vault.sealNew(
    { uid: item, app: want.app, type: 'gateway', facts: { title: want.title } },
    { facts, gen: current.gen },
  );
  const wraps = await wrapsForPool(session, clock, want.app, boxKey);
  const keys = { signKey: await exportPrivate(signKey), boxKey: await exportPrivate(boxKey) };
  const token = want.tokenMinutes === null ? null : await newToken();
  return log.append(
    [{ kind: 'gateway', gateway: uid, app: want.app, signKey: signKey.publicJwk, boxKey: boxKey.publicJwk }],
    device.key,
    async ([entry = ''], after) => {
      const config: JoinConfig = {
        v: 1,
        gateway: uid,
        app: want.app,
        routers: [...want.routers],
        pins: [...after.routerPins],
        anchor: after.anchor,
        floor: { n: after.head.n, hash: after.head.hash },
        ...keys,
      };
      await chain.call(
        createGateway,
        {
          body: {
            entry,
            item: write,
            wraps,
            maxInstances: want.maxInstances,
            ...(token === null
              ? {}
              : {
                  token: { lookup: token.lookup, blob: await token.seal(config), lifeMinutes: want.tokenMinutes ?? 60 },
                }),
          },
        },
        [uid],
      );
      return { uid, config, token: token?.token ?? null };
    },
  );
}
