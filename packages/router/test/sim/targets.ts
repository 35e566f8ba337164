import type { Decision, InstanceId, ItemUid, StreamId } from '@sallyport/protocol';
import { createSeededRandom, type SeededRandom } from '@sallyport/testkit';
import type { PoolEffect, PoolEvent } from '../../src/pool/pool-state.ts';
import type { Picked, RouteRequest } from '../../src/pool/route.ts';
import { gatewayUid, itemUid, streamId } from '../store/samples.ts';

const resources = ['web', 'db', 'ldap'].map(itemUid);
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
  /** `instance resource` → cut until; resource → down until. */
  readonly #cutUntilMs = new Map<string, number>();
  readonly #downUntilMs = new Map<string, number>();
  #nextTroubleMs = 20_000;
  #streams = 0;
  broken: string | null = null;

  constructor(seed: number) {
    this.#random = createSeededRandom(seed + 7_000_000);
  }

  trouble(nowMs: number, instances: readonly InstanceId[]): void {
    if (nowMs < this.#nextTroubleMs) return;
    this.#nextTroubleMs = nowMs + 5_000 + this.#random.below(120_000);
    const resource = resources[this.#random.below(resources.length)] ?? '';
    const untilMs = nowMs + 1_000 + this.#random.below(240_000);
    const instance = instances[this.#random.below(Math.max(1, instances.length))];
    if (this.#random.below(3) === 0) this.#downUntilMs.set(resource, untilMs);
    else if (instance !== undefined) this.#cutUntilMs.set(`${instance} ${resource}`, untilMs);
  }

  /** One request of a client, with its one retry elsewhere; answers the decisions. */
  request(asking: Asking): readonly { decision: Decision; picked: Picked | null }[] {
    const resource = resources[this.#random.below(resources.length)] ?? itemUid('web');
    this.#streams += 1;
    const of = { stream: streamId(`s${this.#streams}`), resource };
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
    const gateway = gatewayUid();
    const word = { gateway, instance, stream: of.stream, chance: this.#random.below(1_000) / 1_000 };
    const reaches = this.#reaches(instance, of.resource, asking.nowMs);
    asking.feed({ kind: reaches ? 'stream-opened' : 'stream-unreached', ...word });
    return reaches;
  }

  #reaches(instance: InstanceId, resource: ItemUid, nowMs: number): boolean {
    const down = this.#downUntilMs.get(resource) ?? 0;
    return nowMs >= down && nowMs >= (this.#cutUntilMs.get(`${instance} ${resource}`) ?? 0);
  }

  #judge(decision: Decision, resource: ItemUid, nowMs: number): void {
    if (decision.pick !== null) {
      for (const { instance, note } of decision.candidates) {
        if (note === undefined) continue;
        const well = Math.max(
          this.#downUntilMs.get(resource) ?? 0,
          this.#cutUntilMs.get(`${instance} ${resource}`) ?? 0,
        );
        if (note.startsWith('ejected: could not') && nowMs - well > forgottenMs) {
          this.broken ??= `${instance} reaches ${resource} again for ${nowMs - well} ms and is ejected`;
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
    if ((this.#cutUntilMs.get(`${instance} ${resource}`) ?? 0) === 0) {
      this.broken ??= `I12: ${instance} is ejected from ${resource}, which it always reached`;
    }
  }
}
