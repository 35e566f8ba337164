import { type ErrorSpec, errorCatalog } from '@sallyport/protocol';

const exitCodes: readonly (readonly [code: number, meaning: string])[] = [
  [0, 'done'],
  [1, 'failed'],
  [2, 'not understood: a flag, a value, a file'],
  [3, 'not found'],
  [4, 'conflict, or a limit is reached'],
  [5, 'not allowed, or not trusted'],
  [6, 'not signed in'],
  [69, 'unavailable: the router, its store or every instance is away'],
  [75, 'try again'],
  [78, 'this machine lacks something the program needs (Node 24)'],
  [130, 'interrupted'],
];

/** The text of `docs/errors.md`: every code of the catalogue, in its order. */
export function errorPage(): string {
  const specs: readonly (readonly [string, ErrorSpec])[] = Object.entries(errorCatalog);
  const rows = specs.map(([code, { http, exit, retry, meaning, remedy }]) =>
    [`\`${code}\``, `${http}`, `${exit}`, retry === 'never' ? '' : 'yes', meaning, remedy].join(' | '),
  );
  return [
    '# Errors',
    '',
    'Every error a user can meet has one of these codes, in the API, on the command line and in the logs alike. With',
    '`--format json` a command prints `{"error":{"code","message","remedy","detail"}}` on stderr. *Retry* says whether',
    'the same call may succeed later by itself.',
    '',
    'Written by `npm run docs:errors` from `packages/protocol/src/errors/catalog.ts`; a test holds both equal.',
    '',
    '## Exit codes',
    '',
    '| exit | meaning |',
    '|---|---|',
    ...exitCodes.map(([code, meaning]) => `| ${code} | ${meaning} |`),
    '',
    '## Codes',
    '',
    '| code | HTTP | exit | retry | meaning | what to do |',
    '|---|---|---|---|---|---|',
    ...rows.map((row) => `| ${row} |`),
    '',
  ].join('\n');
}
