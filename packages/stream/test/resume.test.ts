import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Answerer, byteAt, End, Sender, Wires } from './two-ends.ts';

/**
 * Two ends, a carrier that is cut anywhere, dials that are lost or overtake each other. The model is what was written:
 * every byte in order, then an end.
 */
interface Plan {
  readonly windows: readonly [number, number];
  readonly total: number;
  readonly factor: number;
  readonly first: number;
  readonly cuts: number;
  /** Dials that never arrive. */
  readonly lostDials: number;
  readonly seed: number;
  /** A local end breaks after so many moves; null: never. */
  readonly breaks: { readonly side: 'client' | 'instance'; readonly after: number } | null;
}
const plans = fc.record<Plan>({
  windows: fc.tuple(fc.integer({ min: 16, max: 2_000 }), fc.integer({ min: 16, max: 2_000 })),
  total: fc.nat(3_000),
  factor: fc.constantFrom(0, 1, 4),
  first: fc.constantFrom(0, 10, 2_000),
  cuts: fc.nat(12),
  lostDials: fc.nat(6),
  seed: fc.nat(),
  breaks: fc.constant(null),
});
const breaking = fc.record({ side: fc.constantFrom('client' as const, 'instance' as const), after: fc.nat(400) });

interface Dial {
  readonly wires: Wires;
  readonly gen: number;
  readonly received: number;
  arrived: boolean;
}

class World {
  readonly #plan: Plan;
  readonly client: End;
  readonly instance: End;
  nowMs = 0;
  #dials: Dial[] = [];
  #gen = 1;
  #cutsLeft: number;
  #lostLeft: number;
  #random: number;
  moves = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    const [window, peerWindow] = plan.windows;
    const wires = new Wires();
    const shared = { kernelBytes: 300, detachMs: 60_000 };
    this.client = new End('client', wires, { window, peerWindow, ...shared }, new Sender(plan.total, 200));
    const far = { window: peerWindow, peerWindow: window, ...shared, detachMs: 75_000 };
    this.instance = new End('instance', wires, far, new Answerer(plan.factor, 5_000, plan.first));
    this.#cutsLeft = plan.cuts;
    this.#lostLeft = plan.lostDials;
    this.#random = plan.seed + 1;
  }

  run(): this {
    while (this.moves < 100_000 && !(this.client.state.closed && this.instance.state.closed && this.#appsAreDone())) {
      const can = this.#can();
      if (can.length === 0) {
        if (!this.#leap()) break;
        continue;
      }
      can[Math.floor(this.#chance() * can.length)]?.();
      this.moves++;
      this.nowMs++;
      this.#tick();
      if (this.#plan.breaks?.after === this.moves) {
        const end = this.#plan.breaks.side === 'client' ? this.client : this.instance;
        end.step({ kind: 'local-broken' }, this.nowMs);
      }
    }
    return this;
  }

  #appsAreDone(): boolean {
    return [this.client, this.instance].every((end) => end.cleanEndSeen || end.resetSeen);
  }

  #chance(): number {
    this.#random = (this.#random * 1_103_515_245 + 12_345) % 2_147_483_648;
    return this.#random / 2_147_483_648;
  }

  #tick(): void {
    for (const end of [this.client, this.instance]) {
      if (end.wakeAtMs !== null && this.nowMs >= end.wakeAtMs) end.step({ kind: 'tick' }, this.nowMs);
    }
  }

  /** Nothing can move: time passes. False when no timer is left either. */
  #leap(): boolean {
    const wakes = [this.client, this.instance].flatMap((end) =>
      end.state.closed || end.wakeAtMs === null ? [] : [end.wakeAtMs],
    );
    if (wakes.length === 0) return false;
    this.moves++;
    this.nowMs = Math.max(this.nowMs + 1, Math.min(...wakes));
    this.#tick();
    return true;
  }

  #can(): (() => void)[] {
    const can: (() => void)[] = [];
    for (const end of [this.client, this.instance]) {
      if (!end.resetSeen) can.push(...end.moves(() => this.nowMs));
      const { carrier } = end;
      if (carrier === null || end.state.closed) continue;
      const under = carrier.to[end.state.side];
      const frame = under[0];
      if (frame !== undefined)
        can.push(() => {
          under.shift();
          end.step({ kind: 'frame', frame }, this.nowMs);
        });
      else if (carrier.isCut) can.push(() => end.step({ kind: 'carrier-lost' }, this.nowMs));
    }
    if (this.#cutsLeft > 0 && this.#chance() < 0.05) can.push(() => this.#cut());
    if (this.client.detached !== null && !this.client.state.closed && this.#dials.length < 3) {
      const { received } = this.client.detached;
      can.push(() => this.#dials.push({ wires: new Wires(), gen: ++this.#gen, received, arrived: false }));
    }
    for (const dial of this.#dials) can.push(() => this.#advance(dial));
    return can;
  }

  /** Cuts the carrier of either end, or one on which RESUMED is under way; a part of what was sent still arrives. */
  #cut(): void {
    this.#cutsLeft--;
    const all = [this.client.carrier, this.instance.carrier, ...this.#dials.map(({ wires }) => wires)];
    const wires = all[Math.floor(this.#chance() * all.length)];
    if (wires === null || wires === undefined || wires.isCut) return;
    wires.isCut = true;
    for (const under of [wires.to.client, wires.to.instance]) {
      under.length = Math.floor(this.#chance() * (under.length + 1));
    }
  }

  #advance(dial: Dial): void {
    const forget = (): void => void this.#dials.splice(this.#dials.indexOf(dial), 1);
    if (!dial.arrived) {
      if (dial.wires.isCut || (this.#lostLeft > 0 && this.#chance() < 0.3)) {
        this.#lostLeft--;
        return forget();
      }
      dial.arrived = true;
      this.instance.offered = dial.wires;
      this.instance.step({ kind: 'resume', gen: dial.gen, received: dial.received }, this.nowMs);
      return;
    }
    const answer = dial.wires.to.client.shift();
    if (answer === undefined) {
      if (dial.wires.isCut) forget();
      return;
    }
    forget();
    if (answer.kind === 'gone') return this.client.step(answer, this.nowMs);
    if (answer.kind !== 'resumed') return;
    this.client.offered = dial.wires;
    this.client.step({ kind: 'resumed', gen: dial.gen, told: dial.received, received: answer.received }, this.nowMs);
  }
}

const isPrefix = (end: End): boolean => end.delivered.every((byte, at) => byte === byteAt(at));
const answered = (plan: Plan): number => plan.first + plan.total * plan.factor;

test('cut anywhere and dialled again: both ends see every byte once and in order, and then a clean end', () => {
  fc.assert(
    fc.property(plans, (plan) => {
      const { client, instance } = new World(plan).run();
      expect(instance.delivered).toHaveLength(plan.total);
      expect(client.delivered).toHaveLength(answered(plan));
      expect(isPrefix(client) && isPrefix(instance)).toBe(true);
      for (const end of [client, instance]) {
        expect(end.state.closed).toBe(true);
        expect(end.cleanEndSeen && !end.resetSeen).toBe(true);
      }
    }),
    { numRuns: 150 },
  );
});

test('keeps no more for replay than the window, and holds no more than the window', () => {
  fc.assert(
    fc.property(plans, (plan) => {
      const { client, instance } = new World(plan).run();
      expect(client.mostKept).toBeLessThanOrEqual(plan.windows[1]);
      expect(instance.mostKept).toBeLessThanOrEqual(plan.windows[0]);
      expect(client.mostHeld).toBeLessThanOrEqual(plan.windows[0]);
      expect(instance.mostHeld).toBeLessThanOrEqual(plan.windows[1]);
    }),
    { numRuns: 40 },
  );
});

test('a local end that breaks, attached or detached, ends both, and neither sees an end that is not one', () => {
  fc.assert(
    fc.property(plans, breaking, (plan, breaks) => {
      const { client, instance } = new World({ ...plan, breaks }).run();
      expect(isPrefix(client) && isPrefix(instance)).toBe(true);
      expect(client.state.closed && instance.state.closed).toBe(true);
      if (instance.cleanEndSeen) expect(instance.delivered).toHaveLength(plan.total);
      if (client.cleanEndSeen) expect(client.delivered).toHaveLength(answered(plan));
    }),
    { numRuns: 150 },
  );
});
