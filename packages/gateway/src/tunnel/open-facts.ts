import {
  factsSchemas,
  type Item,
  type ItemUid,
  type NetworkConfigurationFacts,
  PamError,
  type ResourceFacts,
  resourceTypes,
} from '@sallyport/protocol';
import { type LogState, openPart, type Place, type SessionRequest } from '@sallyport/seal';

export interface OpenFactsDeps {
  readonly app: Place['app'];
  readonly log: LogState;
  factsKey(gen: number): Promise<Uint8Array>;
  /** What was opened before: highest revision of each item, and the newest body. */
  readonly memory: FactsMemory;
}

interface Remembered {
  readonly type: Item['type'];
  readonly envelope: string;
  readonly rev: number;
  readonly headN: number;
  readonly body: unknown;
}
/** Opened facts by item. An older revision than one seen here is refused for as long as the process lives. */
export class FactsMemory {
  readonly #items = new Map<ItemUid, Remembered>();
  readonly #most = 10_000;

  /** The opened body when this very envelope was opened as this type under this very log. */
  known(item: Item, envelope: string, headN: number): Remembered | undefined {
    const seen = this.#items.get(item.uid);
    return seen?.envelope === envelope && seen.type === item.type && seen.headN === headN ? seen : undefined;
  }

  leastRev(uid: ItemUid): number {
    return this.#items.get(uid)?.rev ?? 1;
  }

  keep(uid: ItemUid, remembered: Remembered): void {
    this.#items.delete(uid);
    this.#items.set(uid, remembered);
    const oldest = this.#items.size > this.#most ? this.#items.keys().next() : undefined;
    if (oldest?.done === false) this.#items.delete(oldest.value);
  }
}

async function openFacts(item: Item, leastRev: number, deps: OpenFactsDeps): Promise<unknown> {
  const { memory, log } = deps;
  const facts = item.parts.facts;
  if (facts === undefined) throw missing(item.uid, 'the router did not show the facts');
  const known = memory.known(item, facts.envelope, log.head.n);
  if (known !== undefined && known.rev >= leastRev) return known.body;
  const atLeast = Math.max(leastRev, memory.leastRev(item.uid));
  const want = {
    app: deps.app,
    uid: item.uid,
    type: item.type,
    part: 'facts',
    gen: facts.gen,
    rev: { atLeast },
  } as const;
  const opened = await openPart(facts.envelope, want, await deps.factsKey(facts.gen), log);
  const parsed = factsSchemas[item.type].safeParse(opened.body);
  if (!parsed.success)
    throw new PamError('PAM_SEAL_BROKEN', `the facts of ${item.uid} do not have the form of a ${item.type}`, {
      detail: { why: 'body', uid: item.uid },
    });
  memory.keep(item.uid, {
    type: item.type,
    envelope: facts.envelope,
    rev: opened.place.rev,
    headN: log.head.n,
    body: parsed.data,
  });
  return parsed.data;
}

const missing = (uid: string, message: string): PamError =>
  new PamError('PAM_REQUEST_INVALID', `${message} of ${uid}`, { detail: { why: 'items', uid } });

function isResource(item: Item): boolean {
  return resourceTypes.some((type) => type === item.type);
}

export interface OpenedFacts {
  readonly resource: ResourceFacts;
  readonly configurationUid: ItemUid;
  readonly configuration: NetworkConfigurationFacts;
}

/**
 * Opens the facts a signed request stands on: its resource and the one configuration among the items. Each must be of
 * at least the revision that the request names, and none older than one opened here before.
 *
 * @throws PAM_REQUEST_INVALID (why items, revs), PAM_SEAL_BROKEN, _MISPLACED, _AUTHOR, _STALE, PAM_WRAP_INVALID.
 */
export async function openRequestFacts(
  request: SessionRequest,
  items: readonly Item[],
  deps: OpenFactsDeps,
): Promise<OpenedFacts> {
  const resourceItem = items.find((item) => item.uid === request.resource);
  const configurations = items.filter((item) => item.type === 'pamNetworkConfiguration');
  const [configurationItem] = configurations;
  if (resourceItem === undefined || !isResource(resourceItem))
    throw missing(request.resource, 'the router did not show the record');
  if (configurationItem === undefined || configurations.length !== 1)
    throw missing(request.resource, 'the router did not show the one PAM configuration');
  const revOf = (item: Item): number => {
    const rev = request.revs[item.uid];
    if (rev !== undefined) return rev;
    throw new PamError('PAM_REQUEST_INVALID', `the signed request names no revision of ${item.uid}`, {
      detail: { why: 'revs', uid: item.uid },
    });
  };
  // The schema that belongs to the item's type has just parsed each body.
  const resource = (await openFacts(resourceItem, revOf(resourceItem), deps)) as ResourceFacts;
  const configuration = (await openFacts(
    configurationItem,
    revOf(configurationItem),
    deps,
  )) as NetworkConfigurationFacts;
  return { resource, configurationUid: configurationItem.uid, configuration };
}
