import { expect, test } from 'vitest';
import type { Memory } from '../profile/memory.ts';
import { acceptChainEnd } from './actor-chain.ts';
import { checkAuditHead, compareLogHead, parseLogHead } from './heads.ts';

const [a, b] = ['a'.repeat(43), 'b'.repeat(43)];
const code = (wanted: string) => expect.objectContaining({ code: wanted });
const head = (start: number, seq: number, hash = a) => ({ router: 'pin', start, seq, hash, at: 1 });

test('a trust log that got shorter or changed its past is refused', () => {
  expect(compareLogHead(null, { n: 3, hash: a })).toBe('newer');
  expect(compareLogHead({ n: 2, hash: a }, { n: 3, hash: b })).toBe('newer');
  expect(compareLogHead({ n: 2, hash: a }, { n: 2, hash: a })).toBe('same');
  expect(() => compareLogHead({ n: 2, hash: a }, { n: 1, hash: a })).toThrow(code('PAM_TRUST_SHORTENED'));
  expect(() => compareLogHead({ n: 2, hash: a }, { n: 2, hash: b })).toThrow(code('PAM_TRUST_FORKED'));
});

test('a malformed head of the trust log is an error, an absent one is not', () => {
  expect(parseLogHead(undefined)).toBeNull();
  expect(parseLogHead(`7:${a}`)).toEqual({ n: 7, hash: a });
  for (const bad of ['7', `-1:${a}`, `x:${a}`, '7:short', `7:${a}:x:y`.replace(a, 'c')])
    expect(() => parseLogHead(bad)).toThrow(code('PAM_BAD_REQUEST'));
});

test('an audit log that was cut, rewritten or set back to an earlier start is refused', () => {
  const known: Memory['auditHeads'] = { '5': { seq: 9, hash: a, jws: 'x.y.z' } };
  expect(() => checkAuditHead(known, head(5, 10, b))).not.toThrow();
  expect(() => checkAuditHead(known, head(6, 1, b))).not.toThrow();
  expect(() => checkAuditHead(known, head(5, 9))).not.toThrow();
  for (const bad of [head(5, 8), head(5, 9, b), head(4, 99)])
    expect(() => checkAuditHead(known, bad)).toThrow(code('PAM_AUDIT_BROKEN'));
});

test('the end of our own chain is believed only where it contradicts nothing we remember', () => {
  const known = { seq: 4, hash: a, pending: { seq: 5, hash: b } };
  expect(acceptChainEnd(known, { seq: 4, hash: a })).toEqual({ seq: 4, hash: a });
  expect(acceptChainEnd(known, { seq: 5, hash: b })).toEqual({ seq: 5, hash: b });
  expect(acceptChainEnd(known, { seq: 9, hash: a })).toEqual({ seq: 9, hash: a });
  for (const bad of [
    { seq: 3, hash: a },
    { seq: 4, hash: b },
    { seq: 5, hash: a },
  ]) {
    expect(() => acceptChainEnd(known, bad)).toThrow(code('PAM_AUDIT_BROKEN'));
  }
});
