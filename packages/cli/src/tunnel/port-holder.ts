import { readdir, readFile, readlink } from 'node:fs/promises';

/** Who listens on a local TCP port, as far as this user may see: `nginx (PID 812)`. Null when it cannot be told. */
export async function portHolder(port: number): Promise<string | null> {
  if (process.platform !== 'linux') return null;
  try {
    const inodes = await listeningInodes(port);
    if (inodes.size === 0) return null;
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      if (await holds(pid, inodes)) return `${(await readFile(`/proc/${pid}/comm`, 'utf8')).trim()} (PID ${pid})`;
    }
    return null;
  } catch (reason) {
    if (reason instanceof Error) return null;
    throw reason;
  }
}

async function listeningInodes(port: number): Promise<ReadonlySet<string>> {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  const found = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of (await readFile(table, 'utf8')).split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[1]?.endsWith(`:${wanted}`) === true && fields[3] === '0A') found.add(`socket:[${fields[9]}]`);
    }
  }
  return found;
}

/** Descriptors come and go while they are read, the one that lists them among them: each is asked for by itself. */
async function holds(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const descriptors = await orNull(readdir(`/proc/${pid}/fd`));
  for (const descriptor of descriptors ?? []) {
    const link = await orNull(readlink(`/proc/${pid}/fd/${descriptor}`));
    if (link !== null && inodes.has(link)) return true;
  }
  return false;
}

async function orNull<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (reason) {
    if (reason instanceof Error) return null;
    throw reason;
  }
}
