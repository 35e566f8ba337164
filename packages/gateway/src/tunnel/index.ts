export type { TunnelDeps, TunnelWorkload } from './tunnel-workload.ts';
export { createTunnelWorkload } from './tunnel-workload.ts';
