import { readFileSync } from 'node:fs';
import { createCleanup, freePort, runChild, startChild, startHttpTarget, tempDir } from '@sallyport/testkit';
import { afterAll, expect, test, vi } from 'vitest';
import { cleanEnvironment, repository } from './harness/programs.ts';
import { longMs, patience, until } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
afterAll(() => cleanup.run());

interface Step {
  readonly command: string;
  readonly output: readonly string[];
}

/** Commands and what they print, from the README's `console` block. */
function stepsOf(readme: string): readonly Step[] {
  const block = /```console\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
  const steps: { command: string; output: string[] }[] = [];
  for (const line of block.split('\n')) {
    if (line.startsWith('$ ')) steps.push({ command: line.slice(2), output: [] });
    else if (line !== '') steps.at(-1)?.output.push(line);
  }
  return steps;
}

/** What differs from run to run becomes a word of its kind; everything else must be as printed in the README. */
function loosely(lines: readonly string[]): readonly string[] {
  return lines.map((line) =>
    line
      .replaceAll(/\d{4}-\d\d-\d\d[ T][\d:.]+Z/g, 'TIME')
      .replaceAll(/(?<![\w/-])[\w-]{67}(?![\w-])/g, 'CODE')
      .replaceAll(/(?<![\w-])[\w-]{22}(?![\w-])/g, 'UID')
      .replaceAll(/(?<=[Tt]unnel |stop )(?!start|stop)[\w-]{8}(?= )/g, 'TUNNEL')
      .replaceAll(/PID \d+|log \S+/g, 'PLACE')
      .replaceAll(/\d+(\.\d+)? K?i?B/g, 'BYTES')
      .replaceAll(/the last turn was -?\d+/g, 'the last turn was N')
      .replaceAll(/target-closed|client-closed/g, 'ENDED')
      .replaceAll(/picked|later in the cycle|earlier in the cycle/g, 'OUTCOME')
      .replaceAll(/\s+/g, ' ')
      .trim(),
  );
}

test('the session in the README works as it stands, from a fresh router to a working tunnel', async () => {
  const folder = tempDir(cleanup.later);
  const target = await startHttpTarget(cleanup.later);
  const [router, local] = [await freePort(), await freePort()];
  const readme = readFileSync(`${repository}README.md`, 'utf8')
    .replaceAll('--listen 127.0.0.1 ', `--listen 127.0.0.1 --port ${router} `)
    .replaceAll('127.0.0.1:7443', `127.0.0.1:${router}`)
    .replaceAll('18080', String(local))
    .replaceAll(':8080', `:${target.port}`)
    .replaceAll('--port 8080', `--port ${target.port}`);
  const options = {
    cwd: folder,
    env: {
      ...cleanEnvironment,
      SALLYPORT_HOME: `${folder}/home`,
      PATH: `${repository}node_modules/.bin:${process.env['PATH'] ?? ''}`,
    },
    withinMs: longMs,
  };
  cleanup.later(async () => void (await runChild('pam', ['tunnel', 'stop', '--all'], options)));

  const steps = stepsOf(readme);
  expect(steps.length).toBeGreaterThanOrEqual(12);
  let connects = '';
  let connections = 1;
  for (const { command, output } of steps) {
    if (command.endsWith(' &')) {
      startChild(cleanup.later, 'bash', ['-c', `exec ${command.slice(0, -2)}`], options);
      continue;
    }
    let seen: readonly string[] = [];
    let problem = '';
    // What looks at something that takes a moment to become true is asked again; what changes something is not.
    const asksAgain = /^(tail|pam gateway list|pam session why)/.test(command);
    if (command.startsWith('curl ')) connects = command;
    await until(`the output of ${command}`, async () => {
      const run = await runChild('bash', ['-c', command], options);
      seen = loosely(`${run.stdout}${run.stderr}`.split('\n').filter((line) => line !== ''));
      problem = `exit ${run.code}`;
      const matches = run.code === 0 && sameLines(seen, loosely(output));
      // On a busy machine an instance may answer late, and the next is asked. The README shows a connection of which it was not so.
      if (/^ *decision 2,/m.test(run.stdout)) {
        expect(await runChild('bash', ['-c', connects], options)).toMatchObject({ code: 0, stdout: '200\n' });
        connections += 1;
      }
      return matches || !asksAgain;
    }).catch(() => undefined);
    expect([...seen].sort(), `${command} (${problem})`).toEqual([...loosely(output)].sort());
  }
  expect(target.requests.length).toBe(connections);
});

/** Standard output and standard error are two streams: their lines are compared as a set. */
function sameLines(one: readonly string[], two: readonly string[]): boolean {
  return JSON.stringify([...one].sort()) === JSON.stringify([...two].sort());
}
