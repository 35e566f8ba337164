import { type ApplicationUid, type Item, type KeyPart, listApplications, PamError } from '@sallyport/protocol';
import { unwrapKey } from '@sallyport/seal';
import type { SignedIn } from '../person/signed-in.ts';

/** The keys of applications that this person was given, unwrapped when they are needed. */
export interface Keyring {
  /** The items of the applications, as the router serves them with the wraps. */
  applications(): Promise<readonly Item[]>;
  /** PAM_NOT_ALLOWED when the key was not given to this person. */
  keyOf(app: ApplicationUid, part: KeyPart, gen: number): Promise<Uint8Array>;
  /** The newest generation's keys of an application. PAM_NOT_ALLOWED when a key was not given to this person. */
  currentKeys(
    app: ApplicationUid,
    parts: readonly KeyPart[],
  ): Promise<{ readonly gen: number; readonly keys: ReadonlyMap<KeyPart, Uint8Array> }>;
  /** Every generation of every part that this person holds: what a new gateway is given. */
  allKeys(
    app: ApplicationUid,
  ): Promise<readonly { readonly part: KeyPart; readonly gen: number; readonly key: Uint8Array }[]>;
}

export function openKeyring({ client, log, person }: Pick<SignedIn, 'client' | 'log' | 'person'>): Keyring {
  const keys = new Map<string, Uint8Array>();
  const wraps = new Map<string, string>();

  const keyOf = async (app: ApplicationUid, part: KeyPart, gen: number): Promise<Uint8Array> => {
    const id = `${app}/${part}/${gen}`;
    const known = keys.get(id);
    if (known !== undefined) return known;
    await loadApplications();
    const wrap = wraps.get(id);
    if (wrap === undefined) {
      throw new PamError('PAM_NOT_ALLOWED', `you hold no ${part} key of application ${app} (generation ${gen})`);
    }
    const key = await unwrapKey(wrap, { app, part, gen }, person.boxKey, log.state());
    keys.set(id, key);
    return key;
  };

  let loading: Promise<readonly Item[]> | undefined;
  const loadApplications = async (): Promise<readonly Item[]> => {
    loading ??= (async () => {
      const reply = await client.call(listApplications);
      for (const { wraps: given } of reply.applications) {
        for (const wrap of given) {
          if (wrap.recipient === person.boxKey.id) wraps.set(`${wrap.app}/${wrap.part}/${wrap.gen}`, wrap.wrap);
        }
      }
      return reply.applications.map(({ item }) => item);
    })();
    return loading;
  };

  const currentKeys: Keyring['currentKeys'] = async (app, parts) => {
    const gen = log.state().apps.get(app)?.currentGen ?? 0;
    if (gen === 0) throw new PamError('PAM_NOT_FOUND', `the trust log names no key generation of application ${app}`);
    const found = new Map<KeyPart, Uint8Array>();
    for (const part of parts) found.set(part, await keyOf(app, part, gen));
    return { gen, keys: found };
  };

  return {
    applications: loadApplications,
    keyOf,
    currentKeys,
    allKeys: async (app) => {
      await loadApplications();
      const found: { part: KeyPart; gen: number; key: Uint8Array }[] = [];
      for (const id of wraps.keys()) {
        const [owner, part, gen] = id.split('/');
        if (owner !== app) continue;
        found.push({ part: part as KeyPart, gen: Number(gen), key: await keyOf(app, part as KeyPart, Number(gen)) });
      }
      return found;
    },
  };
}

/** One of the keys that were asked for. */
export function mustHold(keys: ReadonlyMap<KeyPart, Uint8Array>, part: KeyPart): Uint8Array {
  const key = keys.get(part);
  if (key === undefined) throw new PamError('PAM_INTERNAL', `the ${part} key was not fetched`);
  return key;
}
