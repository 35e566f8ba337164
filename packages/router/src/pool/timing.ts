import { PamError } from '@sallyport/protocol';

/**
 * Every time of the pool, in milliseconds, in one place (architecture section 4). Settable; `poolTiming` refuses a
 * set of values that breaks one of the inequalities they rest on.
 */
export interface PoolTiming {
  /** h: beat of one link, a round trip. 250 ms: three lost ones and a round trip fit in one second. */
  readonly beatMs: number;
  /** Links a router serves at `beatMs`; beyond, beats are spread: 5,000 a second cost 29 % of a core (proven 5). */
  readonly beatsPerSecond: number;
  /** rtt99 and lag99 that the checks below assume; 256 bulk streams were measured within them. */
  readonly rttMs: number;
  readonly lagMs: number;
  /** S: silence that makes a member suspect, at `beatMs`; 4 h. Scales with the beat actually told. */
  readonly suspectMs: number;
  /** G: silence that cuts a link; outlasts two suspicions and a dial, so that the instance redials first. */
  readonly cutMs: number;
  /** Time a dial with its handshake may take. */
  readonly dialMs: number;
  /** First redial of an instance comes after 0 to this. */
  readonly redialSpreadMs: number;
  /** RJ: a slot is kept this long for a lost link while somebody waits; a redial and a dial fit in. */
  readonly reserveMs: number;
  /** RG: the same after the router starts or lost over half its links at once; plus members ÷ joins a second. */
  readonly graceMs: number;
  /** TLS handshakes let in a second, and at once after a quiet time; 470 a second were measured (proven). */
  readonly acceptsPerSecond: number;
  /**
   * Instances a router admits in a second at least, when all come at once: RG counts with it. 100 to 140 were measured
   * where the instances share its two cores (docs/notes/control-links-profile.md).
   */
  readonly joinsPerSecond: number;
  /** TLS connections that wait for their handshake; a client waits a minute. */
  readonly waitingConnections: number;
  /** L: an unwanted slot is kept this long; longer than a detached stream lives, so its instance stays known. */
  readonly unwantedMs: number;
  /** A detached stream's instance waits this long (section 5). */
  readonly detachMs: number;
  /** H: hedge; within suspicion, over a round trip of a busy pair. */
  readonly hedgeMs: number;
  /** A promotion is acknowledged within this, else the next in line is asked. */
  readonly promoteMs: number;
  /** The judge looks this often while it runs. */
  readonly tickMs: number;
  /** A longer gap between two looks is a pause of the judge, and counts as one tick. */
  readonly pauseMs: number;
  /** W lease, F self-fence, renewal, Q quiesce, A longest effect of work leases; ρ is 5 %. */
  readonly leaseMs: number;
  readonly fenceMs: number;
  readonly renewalMs: number;
  readonly quiesceMs: number;
  readonly effectMs: number;
}

export const defaultTiming: PoolTiming = {
  beatMs: 250,
  beatsPerSecond: 5_000,
  rttMs: 100,
  lagMs: 75,
  suspectMs: 1_000,
  cutMs: 5_000,
  dialMs: 500,
  redialSpreadMs: 200,
  reserveMs: 1_000,
  graceMs: 5_000,
  acceptsPerSecond: 400,
  joinsPerSecond: 100,
  waitingConnections: 32_768,
  unwantedMs: 90_000,
  detachMs: 75_000,
  hedgeMs: 400,
  promoteMs: 1_000,
  tickMs: 50,
  pauseMs: 250,
  leaseMs: 30_000,
  fenceMs: 20_000,
  renewalMs: 5_000,
  quiesceMs: 2_000,
  effectMs: 10_000,
};

const rho = 0.05;

type TimeName = keyof PoolTiming;

/** The inequalities of section 4: the text an operator is shown, the times in it, and the check. */
const inequalities: readonly (readonly [string, readonly TimeName[], (t: PoolTiming) => boolean])[] = [
  [
    '3 × beat + rtt + lag ≤ suspect',
    ['beatMs', 'rttMs', 'lagMs', 'suspectMs'],
    (t) => 3 * t.beatMs + t.rttMs + t.lagMs <= t.suspectMs,
  ],
  [
    '2 × suspect + redial spread + dial ≤ cut',
    ['suspectMs', 'redialSpreadMs', 'dialMs', 'cutMs'],
    (t) => 2 * t.suspectMs + t.redialSpreadMs + t.dialMs <= t.cutMs,
  ],
  [
    'redial spread + dial ≤ reserve',
    ['redialSpreadMs', 'dialMs', 'reserveMs'],
    (t) => t.redialSpreadMs + t.dialMs <= t.reserveMs,
  ],
  ['rtt + lag ≤ hedge', ['rttMs', 'lagMs', 'hedgeMs'], (t) => t.rttMs + t.lagMs <= t.hedgeMs],
  ['hedge ≤ suspect ÷ 2', ['hedgeMs', 'suspectMs'], (t) => t.hedgeMs <= t.suspectMs / 2],
  [
    'fence × (1 + ρ) + quiesce ≤ lease × (1 − ρ)',
    ['fenceMs', 'quiesceMs', 'leaseMs'],
    (t) => t.fenceMs * (1 + rho) + t.quiesceMs <= t.leaseMs * (1 - rho),
  ],
  [
    'effect + quiesce ≤ fence − renewal − rtt',
    ['effectMs', 'quiesceMs', 'fenceMs', 'renewalMs', 'rttMs'],
    (t) => t.effectMs + t.quiesceMs <= t.fenceMs - t.renewalMs - t.rttMs,
  ],
  ['detach ≤ unwanted', ['detachMs', 'unwantedMs'], (t) => t.detachMs <= t.unwantedMs],
  ['reserve ≤ grace', ['reserveMs', 'graceMs'], (t) => t.reserveMs <= t.graceMs],
  ['tick < pause ≤ beat', ['tickMs', 'pauseMs', 'beatMs'], (t) => t.tickMs < t.pauseMs && t.pauseMs <= t.beatMs],
];

/** `--beat-ms`, as the router's program calls it. */
export function timeFlag(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** @throws PAM_CONFIG_INVALID naming the value that is no positive number, or the inequality that is broken. */
export function poolTiming(settings: Partial<PoolTiming> = {}): PoolTiming {
  const timing = { ...defaultTiming, ...settings };
  for (const [name, value] of Object.entries(timing)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new PamError('PAM_CONFIG_INVALID', `${name} must be a whole number of at least 1, not ${value}`);
    }
  }
  for (const [text, names, holds] of inequalities) {
    if (holds(timing)) continue;
    const values = names.map((name) => `${timeFlag(name)} ${timing[name]}`).join(', ');
    throw new PamError('PAM_CONFIG_INVALID', `the times of the pool do not fit together: ${text} (${values})`, {
      detail: { inequality: text },
      remedy: 'Change one of these so that it holds; docs/failover.md says what each is for.',
    });
  }
  return timing;
}

/** RG for so many members: who waits its turn for the handshake has not lost its place. */
export function graceFor(timing: PoolTiming, members: number): number {
  const perSecond = Math.min(timing.joinsPerSecond, timing.acceptsPerSecond);
  return timing.graceMs + Math.ceil((members * 1_000) / perSecond);
}

/** h told in each pong: spread over more links than one router can beat with at the base rate. */
export function beatIntervalMs(timing: PoolTiming, links: number): number {
  return Math.max(timing.beatMs, Math.ceil((links * 1_000) / timing.beatsPerSecond));
}

/** The beat told in pongs at `atMs` of the judge's clock, ms; with fractions, since it sinks by less than one at a time. */
export interface ToldBeat {
  readonly beatMs: number;
  readonly atMs: number;
}

/** The beat sinks by one part in so many of the time that passes. */
const sinkParts = 16;

/**
 * h at `nowMs` of the judge's clock: it rises at once with the links and sinks slowly. Where it fell at once with them,
 * members that were told the long one would be silent for longer than S at the short one. At this rate whoever was told h
 * may miss three beats of it, as always.
 */
export function tellBeat(timing: PoolTiming, told: ToldBeat, links: number, nowMs: number): ToldBeat {
  const sunk = told.beatMs - (nowMs - told.atMs) / sinkParts;
  return { beatMs: Math.max(beatIntervalMs(timing, links), sunk), atMs: nowMs };
}

/** S and G, ms, at a beat. */
export function silenceLimits(
  timing: PoolTiming,
  beatMs: number,
): { readonly suspectMs: number; readonly cutMs: number } {
  const suspectMs = Math.round((timing.suspectMs * beatMs) / timing.beatMs);
  return { suspectMs, cutMs: Math.max(timing.cutMs, 4 * suspectMs) };
}
