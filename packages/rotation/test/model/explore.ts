import { Broken } from './broken.ts';
import { checkWorld } from './check-world.ts';
import { type Model, type Move, movesOf } from './moves.ts';
import { firstWorld, hashOf, type Left, type World } from './world.ts';

export interface Found {
  readonly states: number;
  readonly steps: number;
  /** Nothing within the bounds was left out. */
  readonly isComplete: boolean;
  readonly broken: string | null;
  /** What led there. */
  readonly trace: readonly string[];
}

/**
 * Walks every world that can be reached, depth first. Worlds are known again by 53 bits of their text; with 2 million of
 * them the chance that one was taken for another is 1 in 4,000.
 */
export function explore(model: Model, left: Left, mostStates: number): Found {
  const first = firstWorld(left);
  const seen = new Set<number>([hashOf(first)]);
  const path: { readonly world: World; readonly what: string; readonly rest: Move[] }[] = [];
  let steps = 0;
  const trace = (last: string): string[] => [...path.slice(1).map(({ what }) => what), last];
  const found = (isComplete: boolean, broken: string | null, last: string): Found => ({
    ...{ states: seen.size, steps, isComplete, broken, trace: broken === null ? [] : trace(last) },
  });
  try {
    path.push({ world: first, what: '', rest: movesOf(first, model) });
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const move = top.rest.pop();
      if (move === undefined) {
        path.pop();
        continue;
      }
      steps += 1;
      checkMove(top.world, move);
      const hash = hashOf(move.world);
      if (seen.has(hash)) continue;
      if (seen.size >= mostStates) return found(false, null, '');
      seen.add(hash);
      path.push({ world: move.world, what: move.what, rest: movesOf(move.world, model) });
    }
    return found(true, null, '');
  } catch (error) {
    if (error instanceof Broken) return found(false, error.message, path.at(-1)?.rest.length === 0 ? '' : '…');
    throw error;
  }
}

function checkMove(before: World, move: Move): void {
  try {
    checkWorld(before, move.world);
  } catch (error) {
    if (error instanceof Broken) throw new Broken(`${error.message}, after: ${move.what}`);
    throw error;
  }
}
