import { type Duplex, duplexPair } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MysqlConnection } from './mysql-connection.ts';

const packet = (sequence: number, ...bytes: readonly (number | string)[]): Buffer => {
  const payload = Buffer.concat(bytes.map((one) => (typeof one === 'string' ? Buffer.from(one) : Buffer.from([one]))));
  const head = Buffer.alloc(4);
  head.writeUIntLE(payload.byteLength, 0, 3);
  head[3] = sequence;
  return Buffer.concat([head, payload]);
};
const done = packet(1, 0, 0, 0, 2, 0, 0, 0);
const end = packet(4, 0xfe, 0, 0, 2, 0);
const table = Buffer.concat([packet(1, 1), packet(2, 'a column'), end, packet(4, 2, 'ab'), packet(5, 0xfb), end]);

/** The far end, which answers the first question with `bytes`, cut as told. */
function opened(bytes: Buffer, cuts: readonly number[] = []): { connection: MysqlConnection; far: Duplex } {
  const [near, far] = duplexPair();
  const places = [0, ...cuts.map((cut) => cut % bytes.byteLength).sort((a, b) => a - b), bytes.byteLength];
  far.once('data', () => {
    places.slice(1).forEach((to, index) => void far.write(bytes.subarray(places[index], to)));
  });
  return { connection: new MysqlConnection(near), far };
}

test('an answer is the same however it is cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(200), { maxLength: 12 }), async (cuts) => {
      const { connection } = opened(table, cuts);
      expect(await connection.ask('SELECT')).toEqual({ kind: 'rows', rows: [['ab'], [null]] });
    }),
  );
});

test('an error is told by its number', async () => {
  const { connection } = opened(packet(1, 0xff, 0x15, 0x04, '#28000no'));
  expect(await connection.ask('SELECT')).toEqual({ kind: 'error', code: 1045, message: 'no' });
  expect(connection.isOpen).toBe(true);
});

test.each([
  ['a file of ours', packet(1, 0xfb, '/etc/passwd')],
  ['another answer behind this one', packet(1, 0, 0, 0, 8, 0, 0, 0)],
  ['more columns than anything has', packet(1, 0xfc, 0xff, 0xff)],
  ['a number of columns without an end', packet(1, 0xfc)],
  ['a row instead of the end of the columns', Buffer.concat([packet(1, 1), packet(2, 'c'), packet(3, 1, 'x')])],
  ['a row that is too short', Buffer.concat([packet(1, 1), packet(2, 'c'), end, packet(4, 9, 'x')])],
  ['a length of eight bytes', Buffer.concat([packet(1, 1), packet(2, 'c'), end, packet(4, 0xfe, '123456789')])],
  ['an answer of nothing', packet(1)],
  ['a packet of sixteen megabytes', Buffer.from([0xff, 0xff, 0xff, 1])],
])('a server that wants or says %s loses the connection', async (_, bytes) => {
  const { connection } = opened(bytes);
  await expect(connection.ask('SELECT')).rejects.toHaveProperty('code', 'PAM_TARGET_RESET');
  expect(connection.isOpen).toBe(false);
  expect(() => connection.send(Buffer.from([1]))).toThrow('MySQL');
});

test('rows without an end stop at a mebibyte', async () => {
  const row = packet(4, 250, 'x'.repeat(250));
  const rows = Buffer.concat([packet(1, 1), packet(2, 'c'), end, ...Array.from({ length: 6_000 }, () => row)]);
  const { connection } = opened(rows);
  await expect(connection.ask('SELECT')).rejects.toHaveProperty('code', 'PAM_TARGET_RESET');
});

test('an answer that came before the question is none', async () => {
  const [near, far] = duplexPair();
  const connection = new MysqlConnection(near);
  far.write(done);
  await new Promise((resolve) => setImmediate(resolve));
  await expect(connection.ask('SELECT')).rejects.toHaveProperty('code', 'PAM_TARGET_RESET');
});

test('whatever comes in is answered or ends the connection', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 32 }), { maxLength: 6 }), async (payloads) => {
      const bytes = Buffer.concat(payloads.map((one, index) => packet(index, Buffer.from(one).toString('latin1'))));
      const { connection, far } = opened(Buffer.concat([bytes, done]));
      const reply = await Promise.race([
        connection.ask('SELECT').then(
          ({ kind }) => kind,
          ({ code }: { readonly code: string }) => code,
        ),
        new Promise<string>((resolve) => setImmediate(() => setImmediate(() => resolve('waits')))),
      ]);
      expect(['done', 'rows', 'error', 'PAM_TARGET_RESET', 'waits']).toContain(reply);
      far.destroy();
    }),
  );
});
