import type { InstanceId } from '@sallyport/protocol';
import { defaultTiming } from '../../src/pool/timing.ts';
import { instanceId } from '../store/samples.ts';

/** One simulated instance. */
export interface Actor {
  readonly name: string;
  readonly id: InstanceId;
  link: string | null;
  /** The router has admitted its link. */
  welcome: boolean;
  nextBeatMs: number;
  frozenUntilMs: number;
  thawedAtMs: number;
  redialAtMs: number;
  heard: number;
  draining: boolean;
}

export const never = Number.POSITIVE_INFINITY;

const { suspectMs } = defaultTiming;
const actorsAtOnce = 9;

/** The instances that run now, in the order in which they began. */
export class Actors {
  readonly all: Actor[] = [];
  #names = 0;

  /** Nobody is added over nine at once. */
  add(redialAtMs: number): void {
    if (this.all.length >= actorsAtOnce) return;
    this.#names += 1;
    const name = `i${this.#names}`;
    this.all.push({
      name,
      id: instanceId(name),
      link: null,
      welcome: false,
      nextBeatMs: never,
      frozenUntilMs: 0,
      thawedAtMs: 0,
      redialAtMs,
      heard: 0,
      draining: false,
    });
  }

  remove(actor: Actor): void {
    this.all.splice(this.all.indexOf(actor), 1);
  }

  of(id: InstanceId): Actor | undefined {
    return this.all.find((actor) => actor.id === id);
  }

  holderOf(link: string): Actor | undefined {
    return this.all.find((actor) => actor.link === link);
  }

  /** Admitted, and beats on time. */
  isLively(id: InstanceId, nowMs: number): boolean {
    const actor = this.of(id);
    return actor !== undefined && isLively(actor, nowMs);
  }
}

export function isLively(actor: Actor, nowMs: number): boolean {
  return actor.welcome && !wasQuiet(actor, nowMs);
}

/** It is frozen, or was until lately. */
export function wasQuiet(actor: Actor, nowMs: number): boolean {
  return actor.frozenUntilMs > 0 || (actor.thawedAtMs > 0 && nowMs - actor.thawedAtMs < 2 * suspectMs);
}
