import type { RotationStore } from '../../rotation/index.ts';
import type { ActsOf } from '../act.ts';
import { jobListActs } from './job-list-acts.ts';
import { jobRunActs } from './job-run/index.ts';
import { journalActs } from './journal-acts.ts';
import { leaseActs } from './lease-acts.ts';
import { offerActs } from './offer-acts.ts';
import { orderActs } from './order-acts.ts';
import { scheduleActs } from './schedule-acts.ts';
import { troubleActs } from './trouble-acts.ts';

export const rotationActs: ActsOf<RotationStore> = {
  ...leaseActs,
  ...orderActs,
  ...offerActs,
  ...jobListActs,
  ...jobRunActs,
  ...journalActs,
  ...scheduleActs,
  ...troubleActs,
};
