import { expect, test } from 'vitest';
import { nativeHash } from './login-method.ts';
import { type AccountWrite, writeText } from './write-text.ts';

const write: AccountWrite = {
  account: { user: 'a`b', host: '10.%' },
  isOwn: false,
  isMariaDb: true,
  method: 'mysql_native_password',
  password: `it's \\ "new"`,
  old: 'old',
  isJudged: false,
  limitMs: 1_500,
};

/** MySQL itself cannot be started by the tests; its statements are held to its reference manual, 15.7.1. */
test.each([
  [
    'MariaDB, an administrator',
    {},
    `SET STATEMENT max_statement_time = 1.500 FOR ALTER USER \`a\`\`b\`@\`10.%\` IDENTIFIED VIA mysql_native_password USING '${nativeHash(write.password)}'`,
  ],
  [
    'MariaDB, the account itself',
    { isOwn: true },
    `SET STATEMENT max_statement_time = 1.500 FOR SET PASSWORD = '${nativeHash(write.password)}'`,
  ],
  [
    'MariaDB that judges passwords',
    { isJudged: true },
    `SET STATEMENT max_statement_time = 1.500 FOR SET PASSWORD FOR \`a\`\`b\`@\`10.%\` = PASSWORD('it''s \\ "new"')`,
  ],
  [
    'MySQL, an administrator',
    { isMariaDb: false, method: 'caching_sha2_password' },
    `ALTER USER \`a\`\`b\`@\`10.%\` IDENTIFIED WITH caching_sha2_password BY 'it''s \\ "new"'`,
  ],
  ['MySQL, the account itself', { isMariaDb: false, isOwn: true }, `SET PASSWORD = 'it''s \\ "new"' REPLACE 'old'`],
] as const)('%s', (_, changes, text) => {
  expect(writeText({ ...write, ...changes })).toBe(text);
});
