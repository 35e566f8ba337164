export * from './errors/catalog.ts';
export * from './errors/pam-error.ts';
export * from './ids.ts';
export * from './leg.ts';
