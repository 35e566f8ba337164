export { mongodb as default } from './mongodb.ts';
