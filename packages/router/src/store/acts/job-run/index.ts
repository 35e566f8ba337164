import { claimActs } from './claim-acts.ts';
import { stepActs } from './step-acts.ts';
import { loginActs } from './login-acts.ts';
import { promoteActs } from './promote-acts.ts';
import { endActs } from './end-acts.ts';
import { operatorActs } from './operator-acts.ts';

/** A job while somebody runs it: claimed, step by step to its end, and what its owner does about it meanwhile. */
export const jobRunActs = {
  ...claimActs,
  ...stepActs,
  ...loginActs,
  ...promoteActs,
  ...endActs,
  ...operatorActs,
};
