import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { connect } from 'node:tls';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { readTlsHello } from './read-hello.ts';

/** The first message of Node's own TLS. */
async function helloWith(protocols: string[] | undefined): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const tls = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    servername: 'pam.example',
    rejectUnauthorized: false,
    ...(protocols === undefined ? {} : { ALPNProtocols: protocols }),
  });
  tls.on('error', () => undefined);
  const [socket] = (await once(server, 'connection')) as [import('node:net').Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return bytes;
}

test('reads the ALPN names of a real hello, and waits for all of it', async () => {
  const named = await helloWith(['sallyport-leg/1', 'http/1.1']);
  expect(readTlsHello(named)).toEqual({ kind: 'hello', protocols: ['sallyport-leg/1', 'http/1.1'] });
  expect(readTlsHello(Buffer.concat([named, Buffer.from('more')]))).toMatchObject({ kind: 'hello' });
  for (let cut = 0; cut < named.length; cut++) {
    expect(readTlsHello(named.subarray(0, cut))).toEqual({ kind: 'incomplete' });
  }
  expect(readTlsHello(await helloWith(undefined))).toEqual({ kind: 'hello', protocols: [] });
});

test('a hello whose lengths lie names nothing, and never throws', async () => {
  const named = await helloWith(['sallyport-leg/1']);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(named.length - 1), fc.nat(255)), { maxLength: 8 }), (changes) => {
      const spoilt = Buffer.from(named);
      for (const [at, value] of changes) spoilt[at] = value;
      const read = readTlsHello(spoilt);
      if (read.kind === 'hello') expect(read.protocols.join('').length).toBeLessThanOrEqual(named.length);
    }),
    { numRuns: 2_000 },
  );
  expect(readTlsHello(Buffer.from([0x16, 3, 1, 0xff, 0xff]))).toEqual({ kind: 'hello', protocols: [] });
});
