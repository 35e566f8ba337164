import {
  factsSchemas,
  type Item,
  type ItemUid,
  PamError,
  resourceTypes,
  type ResourceFacts,
  type UserFacts,
  type UserSecrets,
  userSecretsSchema,
} from '@sallyport/protocol';
import { type CandidateProof, type LogState, openPart, type OpenedPart, type Place } from '@sallyport/seal';
import { z } from 'zod';

export interface OpenItemsDeps {
  readonly app: Place['app'];
  readonly log: LogState;
  factsKey(gen: number): Promise<Uint8Array>;
  secretsKey(gen: number): Promise<Uint8Array>;
}

/** What instances keep of a resource: the key its server showed first. */
const resourceStateSchema = z.object({ firstSeen: z.string().max(512).optional() });

/** Opens the parts of items that came with an offer: each must be of this application, and as new as the order says. */
export interface ItemOpener {
  facts(uid: ItemUid): Promise<unknown>;
  user(uid: ItemUid): Promise<UserFacts>;
  resource(uid: ItemUid): Promise<ResourceFacts>;
  secrets(uid: ItemUid): Promise<UserSecrets | null>;
  /** Why an instance wrote the secrets; null: a person did, or there are none. */
  secretsProof(uid: ItemUid): Promise<CandidateProof | null>;
  item(uid: ItemUid): Item;
  /** Server identity that was seen first; null when none was. */
  firstSeen(uid: ItemUid): Promise<string | null>;
}

const broken = (message: string): PamError => new PamError('PAM_SEAL_BROKEN', message, { detail: { why: 'body' } });

export function createItemOpener(
  items: readonly Item[],
  leastRevs: Readonly<Record<ItemUid, number>>,
  deps: OpenItemsDeps,
): ItemOpener {
  const { app, log } = deps;
  const item = (uid: ItemUid): Item => {
    const found = items.find((one) => one.uid === uid);
    if (found?.app === app) return found;
    throw new PamError('PAM_ORDER_INVALID', `the router did not show ${uid}`, {
      detail: { why: 'record-invalid', uid },
    });
  };

  async function facts(uid: ItemUid): Promise<unknown> {
    const found = item(uid);
    const part = found.parts.facts;
    if (part === undefined) throw broken(`the router did not show the facts of ${uid}`);
    const rev = { atLeast: leastRevs[uid] ?? 1 };
    const place = { app, uid, type: found.type, part: 'facts', gen: part.gen, rev } as const;
    const { body } = await openPart(part.envelope, place, await deps.factsKey(part.gen), log);
    const parsed = factsSchemas[found.type].safeParse(body);
    if (!parsed.success) throw broken(`the facts of ${uid} do not have the form of a ${found.type}`);
    return parsed.data;
  }

  async function openSecrets(uid: ItemUid): Promise<OpenedPart | null> {
    const part = item(uid).parts.secrets;
    if (part === undefined) return null;
    const place = { app, uid, type: 'pamUser', part: 'secrets', gen: part.gen, rev: part.rev } as const;
    return openPart(part.envelope, place, await deps.secretsKey(part.gen), log);
  }

  return {
    item,
    facts,
    user: async (uid) => {
      if (item(uid).type !== 'pamUser') throw broken(`${uid} is no pamUser`);
      return (await facts(uid)) as UserFacts;
    },
    resource: async (uid) => {
      const { type } = item(uid);
      if (!resourceTypes.some((one) => one === type)) throw broken(`${uid} is no resource`);
      return (await facts(uid)) as ResourceFacts;
    },
    secrets: async (uid) => {
      const opened = await openSecrets(uid);
      return opened === null ? null : readSecrets(uid, opened.body);
    },
    secretsProof: async (uid) => (await openSecrets(uid))?.proof ?? null,
    firstSeen: async (uid) => {
      const found = item(uid);
      const part = found.parts.state;
      if (part === undefined) return null;
      const place = { app, uid, type: found.type, part: 'state', gen: part.gen, rev: part.rev } as const;
      const { body } = await openPart(part.envelope, place, await deps.factsKey(part.gen), log);
      const parsed = resourceStateSchema.safeParse(body);
      return parsed.success ? (parsed.data.firstSeen ?? null) : null;
    },
  };
}

export function readSecrets(uid: ItemUid, body: unknown): UserSecrets {
  const parsed = userSecretsSchema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw broken(`the secrets of ${uid} do not have the form they must`);
}
