import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChildOptions } from '../process/child.ts';
import type { Later } from '../process/cleanup.ts';
import { tempDir } from '../process/temp-dir.ts';

/** A wall clock that tests move under a running Node program and its children. */
export interface ShiftableClock {
  /** Environment of the program. */
  readonly env: NonNullable<ChildOptions['env']>;
  /** From 20 ms from now on its wall clock is off by `ms`. Monotonic clocks and timers go on as they did. */
  shift(ms: number): void;
}

const module = new URL('./system-shifted-clock.ts', import.meta.url).href;

export function newShiftableClock(later: Later): ShiftableClock {
  const file = join(tempDir(later), 'shift');
  const shift = (ms: number): void => writeFileSync(file, String(ms));
  shift(0);
  return { env: { TESTKIT_CLOCK_FILE: file, NODE_OPTIONS: `--import=${module}` }, shift };
}
