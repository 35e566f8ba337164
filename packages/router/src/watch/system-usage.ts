import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { ownUsage, type ProcessUsage, readDescriptorLimit } from '../relay/index.ts';

/** What this process uses, and how late its turns come. */
export interface Usage {
  used(): ProcessUsage;
  /** Null where the system does not say. */
  descriptors(): { readonly open: number; readonly limit: number } | null;
  /** Since the last call, in seconds. */
  turnDelay(): { readonly p50: number; readonly p99: number; readonly max: number };
  /** Unix seconds. */
  readonly startedAt: number;
  close(): void;
}

const nanoseconds = 1_000_000_000;
const sampledEveryMs = 20;

function openDescriptors(): number | null {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return null; // not Linux, or no descriptor left to read them with: the caller is told elsewhere
  }
}

/** Figures of the operating system about this process. */
export function systemUsage(): Usage {
  const delay = monitorEventLoopDelay({ resolution: sampledEveryMs });
  delay.enable();
  const limit = readDescriptorLimit();
  const seconds = (ns: number): number => Math.max(0, ns / nanoseconds - sampledEveryMs / 1_000);
  return {
    used: ownUsage,
    descriptors: () => {
      const open = openDescriptors();
      return open === null ? null : { open, limit };
    },
    turnDelay: () => {
      const read = { p50: seconds(delay.percentile(50)), p99: seconds(delay.percentile(99)), max: seconds(delay.max) };
      delay.reset();
      return read;
    },
    startedAt: Math.floor((Date.now() - performance.now()) / 1_000),
    close: () => void delay.disable(),
  };
}
