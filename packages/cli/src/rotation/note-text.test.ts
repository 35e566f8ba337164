import fc from 'fast-check';
import { expect, test } from 'vitest';
import { noteLines } from './note-text.ts';

test('a rehearsal shows what holds, and a remedy where something is missing', () => {
  const preconditions = [
    { what: 'the account exists', holds: true, remedy: 'Make it.' },
    { what: 'flock is there', holds: false, remedy: 'Install util-linux.' },
  ];
  expect(noteLines({ preconditions })).toEqual([
    'ok       the account exists',
    'MISSING  flock is there',
    '         Install util-linux.',
  ]);
});

test('what scripts and services said stands under their names, long output cut', () => {
  const output = Array.from({ length: 25 }, (_, n) => `line ${n}\n`).join('');
  const after = {
    services: [
      { name: 'web', message: '', written: true },
      { name: 'mail', message: 'no unit of this name' },
    ],
    scripts: [
      { name: 'silent', output: '\n' },
      { name: 'tells', output },
    ],
  };
  const lines = noteLines({ after });
  expect(lines.slice(0, 3)).toEqual(['service mail: no unit of this name', 'script tells printed:', '    line 0']);
  expect(lines.slice(-2)).toEqual(['    line 19', '    … 5 more lines: --format json']);
});

test('anything else is shown under its name', () => {
  expect(noteLines({ connect: 'unreachable: 127.0.0.1:25432', retired: 2, after: 'odd' })).toEqual([
    'connect: unreachable: 127.0.0.1:25432',
    'retired: 2',
    'after: odd',
  ]);
  expect(noteLines('words')).toEqual(['words']);
});

test('nothing that a note holds reaches the terminal as a control character', () => {
  fc.assert(
    fc.property(
      fc.jsonValue({ maxDepth: 2 }),
      fc.string({ unit: fc.constantFrom('a', '\n', '\t', '\r', '\0', '\u001b', '\u007f', '\u009b') }),
      (value, text) => {
        const notes = [
          value,
          { [text]: value, connect: text },
          { after: { services: [], scripts: [{ name: text, output: text }] } },
        ];
        const found = notes.flatMap(noteLines).filter((one) => /[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/.test(one));
        expect(found).toEqual([]);
      },
    ),
    { examples: [[null, 'a\u001b[2J\nb']] },
  );
});
