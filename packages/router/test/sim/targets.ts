import type { Decision, InstanceId, ItemUid, StreamId } from '@sallyport/protocol';
import { createSeededRandom, type SeededRandom } from '@sallyport/testkit';
import type { Member, PoolEffect, PoolEvent } from '../../src/pool/pool-state.ts';
import type { Picked, RouteRequest } from '../../src/pool/route.ts';
import { gatewayUid, itemUid } from '../store/samples.ts';

const resources = ['web', 'db', 'ldap'].map(itemUid);
const [web = itemUid('web')] = resources;
const gateway = gatewayUid();
/** Longest ejection, with its jitter, and time for somebody to ask. */
const forgottenMs = 900_000;

interface Asking {
  readonly nowMs: number;
  route(request: Pick<RouteRequest, 'of' | 'not' | 'cause'>): { decision: Decision; picked: Picked | null };
  feed(event: PoolEvent): void;
  /** Does this instance serve what it is given now? */
  serves(instance: InstanceId): boolean;
}

/**
 * Targets of the simulated pool, and the client that asks for them: some instance is cut from one of them for a while, or
 * one is down for everybody. Draws from a seed of its own, so that the schedule of the pool stays what it was.
 *
 * Checked: I12 somebody not excluded → somebody is picked; a pair is ejected only after another instance opened what this
 * one could not reach; nothing is ejected for a target that is down for everybody; a pair that is well is not ejected for
 * longer than an ejection can last.
 */
export class Targets {
  readonly #random: SeededRandom;
  /** Instance and resource → cut until; resource → down until. */
  readonly #cutUntilMs = new Map<InstanceId, Map<ItemUid, number>>();
  readonly #downUntilMs = new Map<ItemUid, number>();
  #nextTroubleMs = 20_000;
  #streams = 0;
  broken: string | null = null;

  constructor(seed: number) {
    this.#random = createSeededRandom(seed + 7_000_000);
  }

  trouble(nowMs: number, ring: readonly Member[]): void {
    if (nowMs < this.#nextTroubleMs) return;
    this.#nextTroubleMs = nowMs + 5_000 + this.#random.below(120_000);
    const resource = this.#anyResource();
    const untilMs = nowMs + 1_000 + this.#random.below(240_000);
    const member = ring[this.#random.below(Math.max(1, ring.length))];
    if (this.#random.below(3) === 0) this.#downUntilMs.set(resource, untilMs);
    else if (member !== undefined) this.#cut(member.row.instance, resource, untilMs);
  }

  /** One request of a client, with its one retry elsewhere; answers the decisions. */
  request(asking: Asking): readonly { decision: Decision; picked: Picked | null }[] {
    const resource = this.#anyResource();
    this.#streams += 1;
    const of = { stream: `s${this.#streams}` as StreamId, resource };
    const first = asking.route({ of, not: [], cause: 'first' });
    this.#judge(first.decision, of.resource, asking.nowMs);
    if (first.picked === null || this.#serve(first.picked, of, asking)) return [first];
    const second = asking.route({ of, not: [first.picked.instance], cause: 'retry' });
    this.#judge(second.decision, of.resource, asking.nowMs);
    if (second.picked !== null) this.#serve(second.picked, of, asking);
    return [first, second];
  }

  /** Answers true when there is no retry: it opened, or nobody answers. */
  #serve({ instance }: Picked, of: { stream: StreamId; resource: ItemUid }, asking: Asking): boolean {
    if (!asking.serves(instance)) return true;
    const word = { gateway, instance, stream: of.stream, chance: this.#random.below(1_000) / 1_000 };
    const reaches = this.#reaches(instance, of.resource, asking.nowMs);
    asking.feed({ kind: reaches ? 'stream-opened' : 'stream-unreached', ...word });
    return reaches;
  }

  #reaches(instance: InstanceId, resource: ItemUid, nowMs: number): boolean {
    return nowMs >= this.#badUntil(instance, resource);
  }

  #anyResource(): ItemUid {
    return resources[this.#random.below(resources.length)] ?? web;
  }

  #cut(instance: InstanceId, resource: ItemUid, untilMs: number): void {
    const ofInstance = this.#cutUntilMs.get(instance) ?? new Map<ItemUid, number>();
    this.#cutUntilMs.set(instance, ofInstance.set(resource, untilMs));
  }

  #cutUntil(instance: InstanceId, resource: ItemUid): number {
    return this.#cutUntilMs.get(instance)?.get(resource) ?? 0;
  }

  /** Until then the instance cannot reach it: cut from it, or it is down. */
  #badUntil(instance: InstanceId, resource: ItemUid): number {
    return Math.max(this.#downUntilMs.get(resource) ?? 0, this.#cutUntil(instance, resource));
  }

  #judge(decision: Decision, resource: ItemUid, nowMs: number): void {
    if (decision.pick !== null) {
      for (const { instance, note } of decision.candidates) {
        if (note === undefined) continue;
        const wellForMs = nowMs - this.#badUntil(instance, resource);
        if (wellForMs > forgottenMs && note.startsWith('ejected: could not')) {
          this.broken ??= `${instance} reaches ${resource} again for ${wellForMs} ms and is ejected`;
        }
      }
      return;
    }
    // Nobody: then every one must have a reason of the pool's own.
    const well = decision.candidates.find((candidate) => (candidate.excluded ?? 'ejected').startsWith('ejected'));
    if (well !== undefined) this.broken ??= `I12: nobody was picked, and ${well.instance} was well`;
  }

  heard(effect: PoolEffect & { kind: 'ejected' }, nowMs: number): void {
    const { resource, instance } = effect;
    const down = this.#downUntilMs.get(resource) ?? 0;
    if (nowMs < down) this.broken ??= `I12: ${instance} is ejected from ${resource}, which is down for everybody`;
    if (this.#cutUntil(instance, resource) === 0) {
      this.broken ??= `I12: ${instance} is ejected from ${resource}, which it always reached`;
    }
  }
}
