import { createRateLimit } from '../identity/index.ts';
import type { Brakes } from './router-parts.ts';

/** @param hit - called with what was tried, each time a brake held. */
export function createBrakes(monotonicMs: () => number, hit: (what: string) => void): Brakes {
  const brake = (what: string, burst: number, everyMs: number): Brakes['token'] =>
    createRateLimit(what, { burst, everyMs, hit }, monotonicMs);
  return {
    signInName: brake('sign-ins for this name', 10, 6_000),
    signInAddress: brake('sign-ins from this address', 60, 1_000),
    setupAddress: brake('setup attempts from this address', 20, 3_000),
    recoveryAddress: brake('recovery attempts from this address', 10, 10_000),
    recoveryCode: brake('attempts with this recovery code', 10, 10_000),
    tokenAddress: brake('one-time tokens from this address', 60, 1_000),
    token: brake('attempts with this one-time token', 20, 1_000),
    // A client asks every 50 ms to 2 s; a router that starts is asked by all streams of a device at once.
    resumeStream: brake('resumes of this stream', 20, 500),
    // A call takes 128 entries or 64 events: more than was ever lost goes at once.
    giveBack: brake('calls of this device that give back', 128, 500),
    resumeDevice: brake('resumes by this device', 4_096, 5),
  };
}
