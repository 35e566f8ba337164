import { get } from 'node:http';

/** One request over a connection of its own. */
export interface Answer {
  readonly ok: boolean;
  /** The body, or what went wrong. */
  readonly text: string;
  /** Milliseconds since the process began, monotonic. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

const patienceMs = 10_000;

/** Asks the tunnel once; no agent, so no connection is used twice. Never rejects. */
export function ask(port: number): Promise<Answer> {
  const startedAtMs = performance.now();
  return new Promise((resolve) => {
    const end = (ok: boolean, text: string): void => resolve({ ok, text, startedAtMs, endedAtMs: performance.now() });
    const request = get({ host: '127.0.0.1', port, path: '/', agent: false, timeout: patienceMs }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => void (text += chunk));
      response.on('error', (error) => end(false, error.message));
      response.on('end', () => end(response.statusCode === 200, text.trim()));
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${patienceMs / 1_000} s`)));
    request.on('error', (error) => end(false, error.message));
  });
}

/** What the users of a tunnel noticed of a death at `diedAtMs`. */
export interface Gap {
  /** From the death to the first answer that was asked for after it. */
  readonly firstAnswerMs: number;
  /** The longest that one of them waited. */
  readonly slowestMs: number;
  readonly failed: number;
  readonly asked: number;
}

/** @param answers - in the order they were asked for; those that began before the death are not counted. */
export function measureGap(diedAtMs: number, answers: readonly Answer[]): Gap {
  const after = answers.filter(({ startedAtMs }) => startedAtMs >= diedAtMs);
  const good = after.filter(({ ok }) => ok);
  return {
    firstAnswerMs: Math.min(...good.map(({ endedAtMs }) => endedAtMs)) - diedAtMs,
    slowestMs: Math.max(0, ...after.map(({ startedAtMs, endedAtMs }) => endedAtMs - startedAtMs)),
    failed: after.length - good.length,
    asked: after.length,
  };
}
