import type { JobView } from '@sallyport/protocol';
import { z } from 'zod';

const outcomes = ['done', 'failed', 'unknown', 'skipped'] as const;

/** `scripts: 2 done, 1 failed; services: 1 done`; empty when nothing followed. */
export function afterText(after: JobView['after']): string {
  if (after === null) return '';
  const parts = (['scripts', 'services'] as const).map((what) => {
    const counts = outcomes.filter((one) => after[what][one] > 0).map((one) => `${after[what][one]} ${one}`);
    return counts.length === 0 ? null : `${what}: ${counts.join(', ')}`;
  });
  return parts.filter((part) => part !== null).join('; ');
}

/** Was everything done that follows a rotation? Nothing to do is done. */
export function isAllDone(after: JobView['after']): boolean {
  if (after === null) return true;
  return [after.scripts, after.services].every((one) => one.failed + one.unknown + one.skipped === 0);
}

const toldSchema = z.object({
  after: z.object({
    scripts: z.array(
      z.object({
        name: z.string(),
        on: z.string(),
        result: z.string(),
        exitCode: z.number().nullable(),
        signal: z.string().nullable(),
        timedOut: z.boolean(),
      }),
    ),
    services: z.array(z.object({ name: z.string(), result: z.string(), message: z.string() })),
  }),
});

/** Rows `what, name, where, how it ended` of what an instance told in its sealed notes. */
export function afterRows(notes: readonly unknown[]): readonly (readonly [string, string, string, string])[] {
  return notes.flatMap((note) => {
    const told = toldSchema.safeParse(note);
    if (!told.success) return [];
    const { scripts, services } = told.data.after;
    return [
      ...services.map(
        ({ name, result, message }) =>
          [
            'service',
            name,
            'target',
            message === '' ? result : `${result} (${message.replaceAll(/\s+/g, ' ')})`,
          ] as const,
      ),
      ...scripts.map((script) => ['script', script.name, script.on, endOf(script)] as const),
    ];
  });
}

/** `failed (exit 3)`. */
function endOf(script: z.infer<typeof toldSchema>['after']['scripts'][number]): string {
  const { result, exitCode, signal, timedOut } = script;
  if (result === 'unknown') return 'unknown (begun; its end was not seen)';
  if (result !== 'failed') return result;
  if (timedOut) return 'failed (at its limit)';
  if (exitCode !== null) return `failed (exit ${exitCode})`;
  return signal === null ? 'failed (not begun)' : `failed (${signal})`;
}
