export { type CandidateJournal, openCandidateJournal } from './candidate-journal.ts';
export { createJournalOffers } from './offer-journal.ts';
