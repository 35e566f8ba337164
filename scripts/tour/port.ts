import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { TourStop } from './stop.ts';

const exitConflict = 4;
const stateListen = '0A';

function readLines(file: string): string[] {
  try {
    return readFileSync(file, 'latin1').split('\n');
  } catch {
    return [];
  }
}

function inodeListening(port: number): string | undefined {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const line of [...readLines('/proc/net/tcp'), ...readLines('/proc/net/tcp6')]) {
    const fields = line.trim().split(/\s+/);
    if (fields[1]?.endsWith(wanted) && fields[3] === stateListen) return fields[9];
  }
  return undefined;
}

function holdsInode(pid: string, inode: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`);
  } catch {
    return false;
  }
}

/** `pid 4711 (nginx -g daemon off;)`, or what can be said when the process is somebody else's. */
function whoListens(port: number): string {
  const inode = inodeListening(port);
  const pid = inode && readdirSync('/proc').find((name) => /^\d+$/.test(name) && holdsInode(name, inode));
  if (!pid) return 'another process';
  const command = readLines(`/proc/${pid}/cmdline`).join(' ').replaceAll('\0', ' ').trim();
  return `pid ${pid} (${command.slice(0, 80)})`;
}

/**
 * A port that is free now: the one asked for, or any for 0.
 *
 * @throws TourStop with exit 4, naming who holds it and the flag that helps.
 */
export function claimPort(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => {
      const isTaken = 'code' in error && error.code === 'EADDRINUSE';
      const why = isTaken ? `is taken by ${whoListens(port)}` : `cannot be used: ${error.message}`;
      reject(new TourStop(exitConflict, `port ${port} ${why}; choose another with --port N (0: any)`));
    });
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const address = server.address();
      const bound = address !== null && typeof address === 'object' ? address.port : port;
      server.close(() => resolve(bound));
    });
  });
}
