export { createTunnelWorkload } from './tunnel-workload.ts';
