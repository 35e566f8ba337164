import { expect, test } from 'vitest';
import { firstMessage, proveSecret } from './scram.ts';

const nonce = 'rOprNGfwEbeRWgbNEkqO';
const challenge = 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096';

test('the exchange of RFC 7677 section 3 comes out as it is printed there', async () => {
  const { bare, message } = firstMessage('user', nonce);
  expect(message).toBe('n,,n=user,r=rOprNGfwEbeRWgbNEkqO');
  const proof = await proveSecret('pencil', bare, nonce, challenge);
  expect(proof?.message).toBe(
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  );
  expect(proof?.isServer('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')).toBe(true);
  expect(proof?.isServer('v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')).toBe(false);
  expect(proof?.isServer('')).toBe(false);
});

test('names keep their equal signs and commas', () => {
  expect(firstMessage('a=b,c', 'x').bare).toBe('n=a=3Db=2Cc,r=x');
});

test.each([
  ['another nonce', challenge.replace('rOpr', 'xOpr')],
  ['nothing added to the nonce', `r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`],
  ['few iterations', challenge.replace('4096', '4095')],
  ['iterations without an end', challenge.replace('4096', '999999999')],
  ['no salt', challenge.replace('W22ZaJ0SNY7soEsUEjb6gQ==', '')],
  ['an extension', `m=x,${challenge}`],
  ['nothing', ''],
])('a challenge with %s is none', async (_name, text) => {
  expect(await proveSecret('pencil', firstMessage('user', nonce).bare, nonce, text)).toBeNull();
});
