export { createInstanceFigures, watchReporter, watchWorkload } from './instance-figures.ts';
export { createWatchPages, type Page } from './watch-pages.ts';
