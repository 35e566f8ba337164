export { createAfter } from './after/run-after.ts';
export { openCandidateJournal } from './journal/index.ts';
export { createJobWorkload } from './job-workload.ts';
export { systemClocks } from './system-clocks.ts';
