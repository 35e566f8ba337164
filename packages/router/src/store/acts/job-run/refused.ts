import type { Refused } from '../../../rotation/index.ts';

/** A refusal that is an answer and not thrown: the transaction stands. */
export const refused = (code: Refused['refused'], why: string): Refused => ({ refused: code, why });
