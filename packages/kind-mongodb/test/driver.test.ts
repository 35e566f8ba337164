import { MongoClient } from 'mongodb';
import { expect, onTestFinished, test } from 'vitest';
import { hello, known, startStandIn } from './mongo-stand-in.ts';

/** As MongoDB's own driver does it, to the same stand-in. */
async function command(password: string): Promise<unknown> {
  // A server alone: the driver would look for the members of a set.
  const { setName: _setName, ...alone } = hello(1);
  const { port } = await startStandIn(onTestFinished, (asked) => ('hello' in asked ? alone : undefined));
  const client = new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true`, {
    ...{ tls: true, tlsInsecure: true, serverApi: '1', serverSelectionTimeoutMS: 30_000 },
    auth: { username: known.user, password },
    authMechanism: 'SCRAM-SHA-256',
  });
  onTestFinished(() => client.close());
  return client.db('admin').command({ ping: 1 });
}

test('the driver of MongoDB takes the stand-in for a server, and the stand-in its password', async () => {
  expect(await command(known.password)).toEqual({ ok: 1 });
});

test('the stand-in refuses a wrong password of the driver', async () => {
  await expect(command('another')).rejects.toMatchObject({ code: 18 });
});
