export { createJobWorkload } from './job-workload.ts';
export { systemClocks } from './system-clocks.ts';
