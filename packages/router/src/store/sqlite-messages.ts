import type { WireError } from '@sallyport/protocol';
import type { ActCall } from './acts/index.ts';

/** What the worker is told first. */
export interface WorkerPlace {
  readonly file: string;
  readonly lockFile: string;
  readonly nowMs: number;
}

export type WorkerRequest =
  | { readonly id: number; readonly kind: 'calls'; readonly calls: readonly ActCall[] }
  | { readonly id: number; readonly kind: 'check' }
  | { readonly id: number; readonly kind: 'backup'; readonly file: string }
  | { readonly id: number; readonly kind: 'close' };

/** Id 0 is the opening: its result is the incarnation. `cause` is for logs only. */
export type WorkerAnswer =
  | { readonly id: number; readonly results: readonly unknown[] }
  | { readonly id: number; readonly error: WireError; readonly cause: string };
