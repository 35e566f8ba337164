import { expect, test } from 'vitest';
import { askedFormat, readArguments } from './argv.ts';

const read = (line: string) => readArguments(line.split(' ')).join(' ');

test('understands the group and verb aliases of the product', () => {
  expect(read('g l')).toBe('gateway list');
  expect(read('g rm -g dc1')).toBe('gateway remove -g dc1');
  expect(read('c n -n net')).toBe('config new -n net');
  expect(read('t s web1')).toBe('tunnel start web1');
  expect(read('t x --all')).toBe('tunnel stop --all');
  expect(read('a list')).toBe('action list');
});

test('understands the short flags of several letters where the product has them, with and without =', () => {
  expect(read('t s web1 -th 10.0.0.5 -tp 22 -fg')).toBe(
    'tunnel start web1 --target-host 10.0.0.5 --target-port 22 --foreground',
  );
  expect(read('tunnel start web1 -bg')).toBe('tunnel start web1 --background');
  expect(readArguments(['tunnel', 'start', 'web1', '-R', 'psql -th x'])).toEqual([
    ...['tunnel', 'start', 'web1', '--run', 'psql -th x'],
  ]);
  expect(read('tunnel start web1 -tp=22')).toBe('tunnel start web1 --target-port=22');
  expect(read('config new -env local -cn on')).toBe('config new --environment local --connections on');
});

test('gives a bare group its list, also when flags follow', () => {
  expect(read('gateway')).toBe('gateway list');
  expect(read('g -v')).toBe('gateway list -v');
  expect(read('gateway --format json')).toBe('gateway list --format json');
  expect(read('--profile demo t')).toBe('--profile demo tunnel list');
  expect(read('gateway --profile demo -v')).toBe('--profile demo gateway list -v');
});

test('keeps an asked help, an unknown verb and an unknown word as they are', () => {
  expect(read('gateway --help')).toBe('gateway --help');
  expect(read('gateway bogus')).toBe('gateway bogus');
  expect(read('trust')).toBe('trust');
  expect(read('bogus')).toBe('bogus');
  expect(readArguments([])).toEqual([]);
});

test('finds the verb behind a global flag', () => {
  expect(read('gateway --profile demo l')).toBe('--profile demo gateway list');
  expect(read('--profile=demo g l')).toBe('--profile=demo gateway list');
});

test('splits -x=value and leaves everything behind -- alone', () => {
  expect(read('gateway new -n=dc1 -m=3')).toBe('gateway new -n dc1 -m 3');
  expect(read('record get -- -n=1 -th')).toBe('record get -- -n=1 -th');
});

test('does not translate letters that mean one thing everywhere', () => {
  expect(read('gateway list -o x')).toBe('gateway list -o x');
  expect(read('config list -c net')).toBe('config list -c net');
});

test('reads the asked format before commander does', () => {
  expect(askedFormat(['gateway', 'list', '--format', 'json'])).toBe('json');
  expect(askedFormat(['--format=json'])).toBe('json');
  expect(askedFormat(['x', '--', '--format=json'])).toBeUndefined();
});
