import { expect, onTestFinished, test, vi } from 'vitest';
import { z } from 'zod';
import { flipCharacter, refusedWith } from '../../test/refusals.ts';
import { newSigningKey, type PublicJwk } from '../keys/ec-key.ts';
import { openStatement, signStatement } from './statement.ts';

const device = await newSigningKey();
const other = await newSigningKey();

const openBy = (text: string, key: PublicJwk | undefined) =>
  openStatement(text, {
    ...{ typ: 'sallyport-part+jws', maxChars: 4_096, code: 'PAM_SEAL_AUTHOR', what: 'The statement' },
    schema: z.strictObject({ n: z.int() }),
    keyOf: () => key,
  });
const refusedBy = (text: string, key: PublicJwk | undefined) => refusedWith(() => openBy(text, key));

test('a signature is verified once for each key and text, and whose key it must be is asked each time', async () => {
  const spy = vi.spyOn(crypto.subtle, 'verify');
  onTestFinished(() => spy.mockRestore());
  const mine = device.publicJwk;
  const text = await signStatement('sallyport-part+jws', { n: 1 }, device);
  for (let round = 0; round < 3; round += 1) expect((await openBy(text, mine)).payload).toEqual({ n: 1 });
  expect(spy).toHaveBeenCalledTimes(1);
  expect(await refusedBy(text, undefined)).toBe('PAM_SEAL_AUTHOR signer');
  for (let round = 0; round < 2; round += 1) {
    expect(await refusedBy(text, other.publicJwk)).toBe('PAM_SEAL_AUTHOR signature');
    expect(await refusedBy(flipCharacter(text, 2), mine)).toBe('PAM_SEAL_AUTHOR signature');
  }
  const before = spy.mock.calls.length;
  await openBy(await signStatement('sallyport-part+jws', { n: 2 }, device), mine);
  expect(spy.mock.calls.length).toBe(before + 1);
});
