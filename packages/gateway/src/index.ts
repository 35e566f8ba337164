export { systemRuntime } from './agent/index.ts';
export type { InstanceOptions, RunningInstance } from './program/instance.ts';
export { startInstance } from './program/instance.ts';
