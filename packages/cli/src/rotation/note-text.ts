import { z } from 'zod';
import { plain } from '../terminal/terminal.ts';

/** Lines of one output that are shown; all of them are in `--format json`. */
const outputLines = 20;

const neededSchema = z.array(z.object({ what: z.string(), holds: z.boolean(), remedy: z.string() }));
const followedSchema = z.object({
  services: z.array(z.object({ name: z.string(), message: z.string() })),
  scripts: z.array(z.object({ name: z.string(), output: z.string() })),
});

/**
 * What an instance told of a job, as lines for a person. What a rehearsal looked at and what scripts printed have a form
 * of their own; anything else is shown under its name.
 *
 * @returns lines without control characters; none for a note that tells nothing.
 */
export function noteLines(note: unknown): readonly string[] {
  if (typeof note !== 'object' || note === null || Array.isArray(note)) return [line(shown(note))];
  return Object.entries(note).flatMap(([name, value]) => {
    const needed = neededSchema.safeParse(value);
    if (name === 'preconditions' && needed.success) return neededLines(needed.data);
    const followed = followedSchema.safeParse(value);
    if (name === 'after' && followed.success) return followedLines(followed.data);
    return blockOf(name, shown(value));
  });
}

function neededLines(needed: z.infer<typeof neededSchema>): readonly string[] {
  return needed.flatMap(({ what, holds, remedy }) => [
    line(`${holds ? 'ok      ' : 'MISSING '} ${what}`),
    ...(holds || remedy === '' ? [] : [line(`         ${remedy}`)]),
  ]);
}

/** How they ended is told outside the note. */
function followedLines({ services, scripts }: z.infer<typeof followedSchema>): readonly string[] {
  return [
    ...services.flatMap(({ name, message }) => (message === '' ? [] : blockOf(`service ${name}`, message))),
    ...scripts.flatMap(({ name, output }) =>
      output.trim() === '' ? [] : blockOf(`script ${name} printed`, output, outputLines),
    ),
  ];
}

const shown = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing'));

const line = (text: string): string => plain(text).replaceAll('\n', ' ');

/** `name: text` on one line; indented below it when there are several. */
function blockOf(name: string, text: string, most = Number.POSITIVE_INFINITY): readonly string[] {
  const lines = text.trimEnd().split('\n');
  if (lines.length === 1) return [line(`${name}: ${lines[0] ?? ''}`)];
  const left = lines.length - most;
  const rest = left > 0 ? [`    … ${left} more lines: --format json`] : [];
  return [line(`${name}:`), ...lines.slice(0, most).map((one) => line(`    ${one}`)), ...rest];
}
