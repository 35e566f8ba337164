import { actorHead, PamError, type Route } from '@sallyport/protocol';
import { digestOf, eventHash, type SigningKey, signEvent } from '@sallyport/seal';
import type { z } from 'zod';
import { type Memory, type Sighting, together } from '../profile/memory.ts';
import type { ProfileStore } from '../profile/profile-store.ts';
import { type Clock, nowSeconds } from '../time/clock.ts';
import { giveEventsBack } from './give-back-events.ts';
import { type CallInput, fillPath, type RouterClient } from './router-client.ts';

type ChainEnd = { readonly seq: number; readonly hash: string };
type Chain = Memory['chains'][string];
const emptyChain: Chain = { seq: 0, hash: '', pending: null };

/**
 * The device's own chain of signed events. Every audited call carries the next event; the chain lives in the profile
 * and is held under a lock while a call runs, so that two commands never sign the same number.
 *
 * Stages of one call: sign seq + 1 → remember it as pending → send → acknowledged: it is the end, written together with
 * the heads the reply shows and what the caller takes from it: two writes of the profile a call.
 * When the answer is lost, or another copy of the profile went on, the router says PAM_AUDIT_SEQUENCE; then it is asked
 * where it believes the chain ends, and that is accepted only if it contradicts nothing we remember (I1): never behind
 * the end, and with our own hash wherever we know one. A router that was restored from an older backup is behind: it is given back
 * the events that it lost, once a process (I2), and only those that were acknowledged: whether it ever took the pending one nobody
 * knows.
 */
export interface ActorChain {
  /** Calls an audited route; `on` lists the UIDs it is about. PAM_AUDIT_BROKEN when the router's word breaks I1. */
  call<Query extends z.ZodType, Body extends z.ZodType, Reply extends z.ZodType>(
    route: Route<Query, Body, Reply>,
    input: Omit<CallInput<Query, Body>, 'body'> & { readonly body: Omit<z.input<Body>, 'event'> },
    on: string[],
  ): Promise<z.output<Reply>>;
  /**
   * The same, for a reply from which something is to be remembered. What `take` makes of it is given back when that is in
   * the profile; the end of the chain is, too, when `take` throws.
   */
  callAndTake<Query extends z.ZodType, Body extends z.ZodType, Reply extends z.ZodType, Taken>(
    route: Route<Query, Body, Reply>,
    input: Omit<CallInput<Query, Body>, 'body'> & { readonly body: Omit<z.input<Body>, 'event'> },
    on: string[],
    take: (reply: z.output<Reply>) => Promise<{ readonly taken: Taken; readonly seen: Sighting }>,
  ): Promise<Taken>;
}

export function createActorChain(deps: {
  readonly client: RouterClient;
  readonly store: ProfileStore;
  readonly device: SigningKey;
  readonly clock: Clock;
  /** One plain line for the user. */
  readonly tell?: (text: string) => void;
}): ActorChain {
  const { client, store, device, clock } = deps;
  let gaveBack = false;
  const read = async (): Promise<Chain> => (await store.readMemory()).chains[device.id] ?? emptyChain;
  const endAt = (chain: Chain): Sighting => ({ chains: { [device.id]: chain } });
  const write = async (chain: Chain) => {
    await store.remember(endAt(chain));
  };
  /** Where the router says the chain ends, after it was given what it lost. */
  const endAtRouter = async (chain: Chain): Promise<ChainEnd> => {
    const named = await client.call(actorHead);
    if (named.seq >= chain.seq || gaveBack) return named;
    gaveBack = true;
    const count = await giveEventsBack(client, await store.readEvents(), named, chain);
    if (count === null) return named;
    deps.tell?.(`The router had lost ${count} signed events of this device; it was given them back.\n`);
    return { seq: chain.seq, hash: chain.hash };
  };
  const settle = async (chain: Chain) => {
    const end = { ...acceptChainEnd(chain, await endAtRouter(chain)), pending: null };
    await write(end);
    return end;
  };
  const callAndTake: ActorChain['callAndTake'] = async (route, input, on, take) =>
    store.withChain(async () => {
      let chain = await read();
      if (chain.pending !== null) chain = await settle(chain);
      const body: unknown = JSON.parse(JSON.stringify(input.body));
      for (let attempt = 1; ; attempt++) {
        const event = await signEvent(
          {
            actor: device.id,
            seq: chain.seq + 1,
            prev: chain.hash,
            at: nowSeconds(clock),
            act: `${route.method} ${fillPath(route.path, input.params ?? {})}`,
            on: [...on],
            digest: await digestOf(body),
          },
          device,
        );
        const next = { seq: chain.seq + 1, hash: await eventHash(event) };
        await store.keepEvent(event);
        await write({ ...chain, pending: next });
        const gathered: Sighting[] = [];
        const sent = await answerOf(
          client.call(route, { ...input, body: { ...input.body, event } } as never, { gathered }),
        );
        if (sent.refusal !== null) {
          if (gathered.length > 0) await store.remember(together(gathered));
          if (sent.refusal.code !== 'PAM_AUDIT_SEQUENCE' || attempt > 1) throw sent.refusal;
          chain = await settle({ ...chain, pending: next });
          continue;
        }
        gathered.push(endAt({ ...next, pending: null }));
        try {
          const { taken, seen } = await take(sent.reply);
          gathered.push(seen);
          return taken;
        } finally {
          await store.remember(together(gathered));
        }
      }
    });
  return {
    callAndTake,
    call: async (route, input, on) => callAndTake(route, input, on, async (reply) => ({ taken: reply, seen: {} })),
  };
}

type Answer<Reply> = { readonly refusal: null; readonly reply: Reply } | { readonly refusal: PamError };

async function answerOf<Reply>(call: Promise<Reply>): Promise<Answer<Reply>> {
  try {
    return { refusal: null, reply: await call };
  } catch (reason) {
    if (reason instanceof PamError) return { refusal: reason };
    throw reason;
  }
}

/** I1: the end of our chain as the router names it, if it contradicts nothing remembered; else PAM_AUDIT_BROKEN. */
export function acceptChainEnd(known: Chain, named: ChainEnd): ChainEnd {
  if (named.seq < known.seq) {
    throw new PamError(
      'PAM_AUDIT_BROKEN',
      `the router knows ${named.seq} events of this device; ${known.seq} were acknowledged`,
    );
  }
  const ours = named.seq === known.seq ? known.hash : named.seq === known.pending?.seq ? known.pending.hash : null;
  if (ours !== null && ours !== named.hash) {
    throw new PamError(
      'PAM_AUDIT_BROKEN',
      `the router shows another event ${named.seq} of this device than the one it signed`,
    );
  }
  return { seq: named.seq, hash: named.hash };
}
