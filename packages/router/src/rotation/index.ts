export { viewJob } from './job-view.ts';
export {
  createRotationService,
  type JobCounts,
  type JobLinks,
  type JobTroubles,
  type RotationService,
} from './rotation-service.ts';
export type { NewJob, Refused, RotationStore, StartedJob } from './rotation-store.ts';
export { troubleAfter } from './trouble.ts';
export { entriesKept, instancesKept, notesKept, type StoredJob } from './stored-job.ts';
