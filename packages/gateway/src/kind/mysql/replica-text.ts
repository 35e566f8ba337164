import { quoteText } from './write-text.ts';

/** Where the log of a server is, by global transaction identifiers; empty where it keeps none. */
export const positionText = (isMariaDb: boolean): string =>
  `SELECT @@GLOBAL.${isMariaDb ? 'gtid_binlog_pos' : 'gtid_executed'}`;

/** Has a replica carried out all of that? 1 when it has. */
export const hasReachedText = (isMariaDb: boolean, position: string): string =>
  isMariaDb
    ? `SELECT MASTER_GTID_WAIT(${quoteText(position)}, 0) = 0`
    : `SELECT GTID_SUBSET(${quoteText(position)}, @@GLOBAL.gtid_executed)`;
