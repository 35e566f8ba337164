import type { ActCall } from './acts/index.ts';

/** What both engines do: run calls as one transaction, answer after the commit. */
export interface StoreEngine {
  readonly name: 'sqlite' | 'postgres';
  /** Grows with every restore; the high half of epochs. */
  readonly incarnation: number;
  run(calls: readonly ActCall[]): Promise<readonly unknown[]>;
  /** What is wrong; empty when sound. */
  check(): Promise<readonly string[]>;
  backup(file: string): Promise<void>;
  close(): Promise<void>;
}
