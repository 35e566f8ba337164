import { monitorEventLoopDelay } from 'node:perf_hooks';

/** What this process uses, and how late its turns come. */
export interface Usage {
  /** User and system time since the start, seconds. */
  cpuSeconds(): number;
  residentBytes(): number;
  /** Since the last call, in seconds. */
  turnDelay(): { readonly p50: number; readonly p99: number; readonly max: number };
  close(): void;
}

const nanoseconds = 1_000_000_000;
const sampledEveryMs = 20;

/** Figures of the operating system about this process. */
export function systemUsage(): Usage {
  const delay = monitorEventLoopDelay({ resolution: sampledEveryMs });
  delay.enable();
  const seconds = (ns: number): number => Math.max(0, ns / nanoseconds - sampledEveryMs / 1_000);
  return {
    cpuSeconds: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1_000_000;
    },
    residentBytes: () => process.memoryUsage.rss(),
    turnDelay: () => {
      const read = { p50: seconds(delay.percentile(50)), p99: seconds(delay.percentile(99)), max: seconds(delay.max) };
      delay.reset();
      return read;
    },
    close: () => void delay.disable(),
  };
}
