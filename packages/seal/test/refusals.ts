import { PamError } from '@sallyport/protocol';
import { expect } from 'vitest';

/** Runs `act`, which must be refused with a PamError, and answers `CODE why`. Anything else fails the test. */
export async function refusedWith(act: () => unknown): Promise<string> {
  try {
    await act();
  } catch (reason) {
    expect(reason).toBeInstanceOf(PamError);
    if (reason instanceof PamError) return `${reason.code} ${reason.detail['why'] ?? ''}`.trim();
  }
  return 'accepted';
}

/** For fuzzing: whatever `act` does, it throws nothing but PamError. */
export async function throwsOnlyPamError(act: () => unknown): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (reason) {
    return reason instanceof PamError && reason.code !== 'PAM_INTERNAL';
  }
}

/** A copy of a compact text with one character of segment `at` replaced by another of the alphabet. */
export function flipCharacter(compact: string, at: number, position = 3): string {
  const segments = compact.split('.');
  const segment = segments[at] ?? '';
  segments[at] = segment.slice(0, position) + (segment[position] === 'A' ? 'B' : 'A') + segment.slice(position + 1);
  return segments.join('.');
}
