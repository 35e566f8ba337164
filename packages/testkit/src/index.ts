export type { TargetProgram } from './target-list.ts';
export { missingTargets, targetPrograms } from './target-list.ts';
