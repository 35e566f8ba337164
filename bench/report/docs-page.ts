import { show } from '../measure/numbers.ts';
import type { Report } from './report.ts';
import { tablesOf } from './tables.ts';

/** Text of `docs/benchmarks.md` for one run. */
export function docsPage(report: Report): string {
  const { machine, loadAverage, at, seconds } = report;
  const load = (averages: readonly number[]): string => averages.map(show).join(' ');
  return `# Benchmarks

<!-- Written by \`npm run bench -- --write-docs\`: change bench/report/docs-page.ts, not this file. -->

Ours and OpenSSH in one run, round by round in turn, everything on loopback.

- When: ${at.slice(0, 16).replace('T', ' ')} UTC, ${Math.round(seconds)} s in all.
- Machine: ${machine.cores} cores (${machine.cpu}), Linux ${machine.kernel}, Node ${machine.node.slice(1)}.
- Peer: ${machine.ssh}, cipher \`aes128-gcm@openssh.com\`.
- Load average over 1, 5, 15 minutes: ${load(loadAverage.before)} at the start, ${load(loadAverage.after)} at the end.

${tablesOf(report).join('\n')}
## What the rows are

- **Whole programs**: \`pam-router\`, three \`pam-gateway\` of one pool and a foreground \`pam tunnel start\`, built by
  \`npm run build\`, as a user runs them: sign-in, signed requests, checks, audit.
- **Stream and relay code**: the data plane of these programs in small processes of its own, without the rest.
- **OpenSSH \`-R\` + \`-L\`**: two clients and one sshd, the same two hops. **\`-L\`**: one hop, what a hop costs.
- CPU is user and system time of all processes of the tunnel with their children. "All" adds target and load generator,
  which are the same for every row.
- (c) kills the instance whose turn is next while a stream is open on it, in a pool of three of which every member serves
  a stream. New connections follow back to back. A failure is one of these without its right answer, or a stream on
  another instance that no longer answers. The next kill waits for a replacement.

- (d) hits the instance whose turn is next, in a pool of three on machines of their own (network namespaces); time counts
  from before the fault is put in force. A failure is a connection without its right answer. SIGKILL is (c).
- (e) kills the router with SIGKILL and starts it anew at once; a stall is the longest time without a byte of a stream.
- (f) the whole programs twice, each with a router and one instance of its own: every leg plain, and every leg inside TLS
  and WebSocket (\`--carrier websocket\` at both ends). CPU has the relay and the carrier process in it.
- (g) new connections follow back to back while the instance empties.
- (h) simulated instances do the true hello and beat as true ones, over TLS, from many loopback addresses; they share the
  machine with the router, and what they cost stands beside what it costs: in life they are as many machines. They start
  one each millisecond. \`--accepts-per-second\` and the beat are the router's own defaults. They have the
  lowest priority. What is known of one link, and the figures of 10,000: [note](notes/control-links-profile.md).
- What framing for resume costs is in (a): compare with the first issue's figures, 400 and 583 MiB/s for 1 and 8 streams
  at 3.70 and 2.71 CPU-s/GiB, in a run whose OpenSSH rows are alike.

## How to read it

On a busy machine all figures rise, ours and theirs: compare within one run. Where two-hop SSH needs some 40 ms for a new
connection, that is delayed acknowledgements, not work. A new connection costs us a mutual TLS 1.3 handshake with
X25519MLKEM768 and two TCP connections; in an SSH connection that exists already it is one more channel.

## Repeat it

\`npm run bench\` prints the tables and writes JSON to \`bench/results/\`; \`npm run bench -- --write-docs\` writes this page as
well. \`--only c --trials 10\` measures one part, \`--quick\` all of them in short. It needs OpenSSH (Debian:
\`apt-get install openssh-client openssh-server\`) and ends with an error without it.
`;
}
