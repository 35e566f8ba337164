import { expect, test } from 'vitest';
import { mayBeOneServer } from './same-server.ts';

const key = `sha256:${'k'.repeat(43)}`;
const other = `sha256:${'o'.repeat(43)}`;
const at = (host: string, port = 22, serverIdentity = key) => ({ host, port, serverIdentity });

test('one pinned key at two addresses may be one server; one address in two spellings is one anyway', () => {
  expect(mayBeOneServer(at('db'), at('db.example.com'))).toBe(true);
  expect(mayBeOneServer(at('10.0.0.1'), at('10.0.0.1', 2222))).toBe(true);
  expect(mayBeOneServer(at('db.example.com'), at('DB.example.com.'))).toBe(false);
  expect(mayBeOneServer(at('db'), at('db2', 22, other))).toBe(false);
  expect(mayBeOneServer(at('db', 22, 'first-seen'), at('db2', 22, 'first-seen'))).toBe(false);
});
