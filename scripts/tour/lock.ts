import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startTicks } from './running.ts';
import { TourStop } from './stop.ts';

interface Holder {
  readonly pid: number;
  readonly ticks: string;
  readonly url: string;
}

const exitConflict = 4;

/** One tour per data folder. The file names who holds it, so that a second start can say so. */
export interface TourLock {
  /** Adds what the holder can be reached at. */
  tell(url: string): void;
  release(): void;
}

function readHolder(file: string): Holder | undefined {
  try {
    const { pid, ticks, url }: Partial<Holder> = JSON.parse(readFileSync(file, 'utf8')) as Partial<Holder>;
    return typeof pid === 'number' && typeof ticks === 'string' ? { pid, ticks, url: url ?? '' } : undefined;
  } catch {
    return undefined;
  }
}

/** @throws TourStop with exit 4, naming pid and URL of the tour that runs on this folder. */
export function takeLock(dataDir: string): TourLock {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const file = join(dataDir, 'tour.lock');
  const mine = { pid: process.pid, ticks: startTicks(process.pid) ?? '' };
  const write = (url: string, flag: 'wx' | 'w'): void => {
    // Written beside and moved in place: a reader never sees half of it.
    const text = `${JSON.stringify({ ...mine, url })}\n`;
    if (flag === 'wx') return writeFileSync(file, text, { flag, mode: 0o600 });
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  };
  for (let attempt = 0; attempt < 2; attempt += 1) {
    try {
      write('', 'wx');
      break;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      const holder = readHolder(file);
      if (holder && startTicks(holder.pid) === holder.ticks) {
        const where = holder.url === '' ? 'it is starting' : `router at ${holder.url}`;
        throw new TourStop(exitConflict, `already running on ${dataDir}: pid ${holder.pid}, ${where}`);
      }
      rmSync(file, { force: true });
    }
  }
  return {
    tell: (url) => write(url, 'w'),
    release: () => {
      if (readHolder(file)?.pid === process.pid) rmSync(file, { force: true });
    },
  };
}
