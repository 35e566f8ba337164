/** A relay in a process of its own, for tests that limit its descriptors: one JSON order a line, one answer a line. */
import { createInterface } from 'node:readline';
import { startRelay } from '../../src/relay/index.ts';

const relay = await startRelay({
  host: '127.0.0.1',
  port: 0,
  log: () => undefined,
  events: { onTls: (waiting) => waiting.refuse() },
});
process.stdout.write(`${JSON.stringify({ port: relay.port })}\n`);
for await (const line of createInterface(process.stdin)) {
  const { tickets } = JSON.parse(line) as { tickets: Parameters<typeof relay.expect>[0] };
  await relay.expect(tickets);
  process.stdout.write('{}\n');
}
await relay.close();
