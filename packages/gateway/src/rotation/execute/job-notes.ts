import { type JsonValue, sealNote } from '@sallyport/seal';
import type { HeldJob, RunJobDeps } from './job-deps.ts';

interface SealedNote {
  readonly gen: number;
  readonly envelope: string;
}

/** What is told of a job to people: gathered while it runs, sealed for them when it ends. */
export interface JobNotes {
  /** Generation of the keys that things are sealed under now. */
  gen(): number;
  /** Of `message` the first 512 characters are kept, and logged at debug. */
  say(what: string, message: string): void;
  keep(what: string, value: JsonValue): void;
  seal(body: JsonValue): Promise<SealedNote>;
  /** Null: there is nothing to tell. */
  sealAll(): Promise<SealedNote | null>;
}

export function createJobNotes(
  { opened }: HeldJob,
  deps: Pick<RunJobDeps, 'app' | 'trust' | 'keys' | 'log'>,
): JobNotes {
  const { job } = opened.offer;
  const told: Record<string, JsonValue> = {};
  const gen = (): number => deps.trust().apps.get(deps.app)?.currentGen ?? 1;

  async function seal(body: JsonValue): Promise<SealedNote> {
    const now = gen();
    const envelope = await sealNote({ app: deps.app, job, gen: now }, body, await deps.keys.factsKey(now));
    return { gen: now, envelope };
  }

  return {
    gen,
    seal,
    say: (what, message) => {
      told[what] = message.slice(0, 512);
      deps.log.debug('said of a job', { job, what, message: message.slice(0, 512) });
    },
    keep: (what, value) => {
      told[what] = value;
    },
    sealAll: async () => {
      if (Object.keys(told).length === 0) return null;
      return seal(told).catch(() => seal({ message: 'what there is to tell is too long' }));
    },
  };
}
