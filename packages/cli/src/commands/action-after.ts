import { runJobs } from '../rotation/run-jobs.ts';

export const run = runJobs('after');
