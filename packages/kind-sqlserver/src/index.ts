export { sqlserver as default } from './sqlserver.ts';
