import { runChild } from '@sallyport/testkit';

/** One request with the real curl over a connection of its own. */
export async function curl(
  url: string,
  args: readonly string[] = [],
): Promise<{ code: number | null; body: string; error: string }> {
  const run = await runChild('/usr/bin/curl', ['-sS', '--max-time', '20', ...args, url]);
  return { code: run.code, body: run.stdout, error: run.stderr.trim() };
}
