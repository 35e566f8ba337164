import { randomBytes } from 'node:crypto';
import type { UserSecrets } from '@sallyport/protocol';
import { type Credential, generatePassword, type RunEvent } from '@sallyport/rotation';
import { type CandidateProof, type JsonValue, sealCandidate } from '@sallyport/seal';
import { makeKeyPair } from '../../kind/index.ts';
import { secretsWith } from '../credential.ts';
import type { Versions } from '../versions.ts';
import { callWithinMs, type HeldJob, type RunJobDeps } from './job-deps.ts';
import type { JobNotes } from './job-notes.ts';
import { type JobStore, newKey } from './job-store.ts';
import type { CandidateKeeping } from './keep-candidate.ts';

interface Staged {
  readonly secrets: UserSecrets;
  /** By this the store knows that it was asked before. */
  readonly key: string;
  readonly rev: number;
  readonly gen: number;
  readonly envelope: string;
}

/** Draws a new secret and has it in the store, sealed, before anybody else hears of it. */
export interface Staging {
  stage(): Promise<RunEvent>;
  /** A secret that the target and the complexity allow; null: there is none. */
  fresh(): Credential | null;
}

export function createStaging(
  { opened, claimed }: HeldJob,
  parts: {
    readonly store: JobStore;
    readonly notes: JobNotes;
    readonly versions: Versions;
    readonly keeping: CandidateKeeping;
  },
  deps: RunJobDeps,
): Staging {
  const { place, settings, allowed, offer } = opened;
  const { store, notes, versions, keeping } = parts;
  /** A candidate whose storing was not answered yet: asked again it is the same one, to the byte. */
  let staging: Staged | null = null;

  function fresh(): Credential | null {
    if (place === null) return null;
    if (settings.changes === 'ssh-key') return makeKeyPair();
    const drawn = generatePassword(opened.complexity, place.kind.limits(place.target), randomBytes);
    if (drawn.ok) return { kind: 'password', password: drawn.password };
    notes.say('complexity', `the target cannot take a password of this complexity (${drawn.why})`);
    return null;
  }

  async function stage(): Promise<RunEvent> {
    const { proof, proofEndsMs, lapsed } = allowed;
    if (proof === null) return { type: 'impossible', why: lapsed ?? 'order-invalid' };
    // Nobody would believe it: the secret would be lost with the first write.
    const isOver = proofEndsMs !== null && deps.runtime.nowMs() > proofEndsMs;
    if (isOver && staging === null) return { type: 'impossible', why: 'order-spent' };
    const next = staging === null ? fresh() : null;
    if (staging === null && next === null) return { type: 'impossible', why: 'policy-refused' };
    return store.ask(async () => {
      staging ??= next === null ? null : await seal(next, proof);
      if (staging === null) return { type: 'impossible', why: 'internal' };
      const { secrets, key, ...sealed } = staging;
      const params = { job: offer.job, epoch: claimed.epoch, key, ...sealed };
      const { version } = await deps.call('job.stage', params, { timeoutMs: callWithinMs });
      versions.add(version, secrets);
      staging = null;
      await keeping.staged(sealed);
      return { type: 'staged', version };
    });
  }

  async function seal(next: Credential, why: CandidateProof): Promise<Staged> {
    const before = claimed.current === 0 ? opened.secrets : await versions.secrets(claimed.current);
    const secrets = secretsWith(before, next);
    const gen = notes.gen();
    const rev = claimed.base + 1;
    const at = { app: deps.app, uid: offer.record, type: 'pamUser', part: 'secrets', gen, rev } as const;
    const body = JSON.parse(JSON.stringify(secrets)) as JsonValue;
    const seconds = Math.floor(deps.runtime.nowMs() / 1_000);
    const envelope = await sealCandidate(at, body, await deps.keys.secretsKey(gen), deps.poolKey, why, seconds);
    return { secrets, key: newKey(), rev, gen, envelope };
  }

  return { stage, fresh };
}
