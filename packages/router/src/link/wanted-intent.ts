import { drainLimits, type LinkParams } from '@sallyport/protocol';
import type { Intent } from '../pool/index.ts';

/** An intent as an instance is told it: the deadline goes out as time left. */
export function wantedIntent(intent: Intent, nowMs: number): LinkParams<'link.intent'>['intent'] {
  if (intent.kind !== 'drain') return intent;
  const { kind, by, deadlineAtMs } = intent;
  const deadlineInMs = Math.min(Math.max(0, deadlineAtMs - nowMs), drainLimits.deadlineMs);
  return { kind, by, deadlineAtMs, deadlineInMs };
}
