import { Secret } from '@sallyport/rotation';
import { expect, test } from 'vitest';
import { readLogin, readReset } from './directory-error.ts';

const controls = new Map<string, Buffer>();
const windows = (data: string): string =>
  `80090308: LdapErr: DSID-0C09050F, comment: AcceptSecurityContext error, data ${data}, v4563\0`;

test.each([
  ['525', 'refused'],
  ['52e', 'refused'],
  ['530', 'locked'],
  ['531', 'locked'],
  ['532', 'expired'],
  ['533', 'locked'],
  ['701', 'locked'],
  ['773', 'expired'],
  ['775', 'locked'],
  ['57', 'unknown'],
  ['52', 'unknown'],
])('a login that ends with data %s is %s', (data, kind) => {
  expect(readLogin({ code: 49, text: windows(data), controls }, [])?.kind).toBe(kind);
});

test('a refusal without a number says nothing about the password', () => {
  expect(readLogin({ code: 49, text: '', controls }, [])?.kind).toBe('unknown');
  expect(readLogin({ code: 8, text: windows('52e'), controls }, [])?.kind).toBe('unknown');
});

test.each([
  ['0000052D: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0', 53, false, 'policy'],
  ['0000052D: Constraint violation - check_password_restrictions: too short', 19, true, 'policy'],
  ['00000056: AtrErr: DSID-03191083, #1: 0: 00000056', 19, true, 'fenced'],
  ['00000005: SecErr: DSID-031A11CF, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0', 50, false, 'denied'],
  ['0000001F: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0', 53, false, 'denied'],
  ['', 51, false, 'unknown'],
  ['', 32, false, 'denied'],
] as const)('a write that ends with %s (%i) is known', (text, code, namedOld, kind) => {
  expect(readReset({ code, text, controls }, namedOld, []).kind).toBe(kind);
});

test('a server that sends the password back does not get it shown', () => {
  const secret = new Secret('a secret of the test');
  const outcome = readReset({ code: 80, text: `no: "${secret.reveal()}"`, controls }, false, [secret]);
  expect(outcome).toEqual({ kind: 'unknown', message: 'the directory answered 80: no: "[secret]"' });
});
