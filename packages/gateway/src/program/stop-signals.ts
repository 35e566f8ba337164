/** What ends the program from outside. */
export interface StopSignals {
  /** Resolves with the reason at the first signal, or when stdin ends. */
  readonly stopped: Promise<string>;
  /** Aborted at the same moment. */
  readonly stopping: AbortSignal;
  /** Resolves at the second signal, or when stdin ends after the first. */
  readonly hurried: Promise<void>;
  /** 0 after one signal, 130 after a second. */
  exitCode(): number;
  close(): void;
}

/** Listens to SIGTERM and SIGINT, and to the end of stdin when asked (a parent that dies closes it). */
export function openStopSignals(options: { readonly exitWithStdin: boolean }): StopSignals {
  const { promise: stopped, resolve: stop } = Promise.withResolvers<string>();
  const { promise: hurried, resolve: hurry } = Promise.withResolvers<void>();
  const stopping = new AbortController();
  let count = 0;
  const onStop = (why: string): void => {
    count += 1;
    if (count > 1) return hurry();
    stop(why);
    stopping.abort(why);
  };
  let stdinIsOver = false;
  /** Its parent is gone: nobody waits for a drain any more. Told by several events. */
  const onStdinEnd = (): void => {
    if (stdinIsOver) return;
    stdinIsOver = true;
    onStop('stdin closed');
  };
  process.on('SIGTERM', onStop);
  process.on('SIGINT', onStop);
  if (options.exitWithStdin) {
    process.stdin.on('end', onStdinEnd);
    process.stdin.on('close', onStdinEnd);
    process.stdin.on('error', onStdinEnd);
    process.stdin.resume();
  }
  return {
    stopped,
    stopping: stopping.signal,
    hurried,
    exitCode: () => (count > 1 ? 130 : 0),
    close: () => {
      process.off('SIGTERM', onStop);
      process.off('SIGINT', onStop);
      if (!options.exitWithStdin) return;
      process.stdin.off('end', onStdinEnd);
      process.stdin.off('close', onStdinEnd);
      process.stdin.pause();
    },
  };
}
