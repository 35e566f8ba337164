import type { Member } from './fleet.ts';

/** A stream as an instance logged it. */
export interface Served {
  readonly stream: string;
  readonly instance: string;
  /** Name of the process that logged it. */
  readonly by: string;
}

function field(line: string, name: string): string | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    const found =
      typeof value === 'object' && value !== null && name in value ? value[name as keyof typeof value] : undefined;
    return typeof found === 'string' ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Reads which streams each instance served, from the instances' own logs. */
export class Turns {
  readonly #served: Served[] = [];
  #wake: () => void = () => {};

  watch(member: Member): void {
    member.onLine((line) => {
      const [stream, instance] = [field(line, 'stream'), field(line, 'instance')];
      if (field(line, 'msg') !== 'stream opened' || !stream || !instance) return;
      this.#served.push({ stream, instance, by: member.name });
      this.#wake();
    });
  }

  count(): number {
    return this.#served.length;
  }

  all(): readonly Served[] {
    return this.#served;
  }

  /** Waits until `count` streams have been logged in all, and gives the newest of them. */
  async served(count: number, withinMs = 5_000): Promise<Served> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const found = this.#served[count - 1];
      if (found) return found;
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`an answer came, but no instance logged stream number ${count}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

/** How many turns each name had: `a 2, b 2, c 2`. */
export function tally(names: readonly string[]): { readonly text: string; readonly spread: number } {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const values = [...counts.values()];
  const text = [...counts].toSorted(([a], [b]) => a.localeCompare(b)).map(([name, count]) => `${name} ${count}`);
  return { text: text.join(', '), spread: Math.max(0, ...values) - Math.min(...values, Number.POSITIVE_INFINITY) };
}

/** Instance id of a log line that says `ready`; undefined for any other line. */
export function readyInstance(line: string): string | undefined {
  return field(line, 'msg') === 'ready' ? field(line, 'instance') : undefined;
}
