import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalName } from './distinguished-name.ts';

test.each([
  'uid=alice,ou=people,dc=lab,dc=test',
  'UID=Alice, OU=People , DC=Lab,dc=test',
  'uid = alice,ou=people;dc=lab;dc=test',
  'uid="alice",ou=people,dc=lab,dc=test',
  'uid=\\61lice,ou=people,dc=lab,dc=test',
])('%s is one name with the others', (name) => {
  expect(canonicalName(name)).toBe('uid=alice,ou=people,dc=lab,dc=test');
});

test('the parts of a name with two attributes have no order, and the same value may be escaped in more than one way', () => {
  expect(canonicalName('cn=a+uid=b,dc=test')).toBe(canonicalName('UID=b + CN=a,dc=test'));
  expect(canonicalName('cn=a\\,b,dc=test')).toBe(canonicalName('cn=a\\2cb,dc=test'));
  expect(canonicalName('cn="a,b",dc=test')).toBe(canonicalName('cn=a\\,b,dc=test'));
});

test('a value that looks like more of a name is not taken for it', () => {
  expect(canonicalName('cn=a\\,ou=b,dc=test')).not.toBe(canonicalName('cn=a,ou=b,dc=test'));
  expect(canonicalName('cn=a\\+uid=b,dc=test')).not.toBe(canonicalName('cn=a+uid=b,dc=test'));
});

test('a canonical name is its own canonical name, whatever the text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (value) => {
      const hex = [...Buffer.from(value, 'utf8')].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('');
      const name = canonicalName(`cn=x${hex}x,dc=test`);
      expect(canonicalName(name)).toBe(name);
    }),
  );
});
