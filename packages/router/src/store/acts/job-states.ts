import { sql } from 'kysely';

/**
 * States of jobs in the very words of the partial indices (migrations.ts). As literals: given as parameters both engines may
 * have to read every job there ever was, and SQLite prepares a statement anew for each value that an index could depend on.
 */
export const openJobs = sql<string>`('queued', 'running', 'waiting')`;
export const waitingJobs = sql<string>`('queued', 'waiting')`;
export const isWaiting = sql.lit('waiting');
export const isRunning = sql.lit('running');
