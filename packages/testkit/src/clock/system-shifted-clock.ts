/**
 * Loaded into a program under test by `node --import`: its wall clock is off by as many milliseconds as the file named
 * in TESTKIT_CLOCK_FILE says, from a moment after the file is written. The kernel cannot do this for one process: a time
 * namespace moves the monotonic and the boot clock only. What asks the system itself (OpenSSL) sees the real time.
 */
import { readFileSync } from 'node:fs';

const lookEveryMs = 20;
const file = process.env['TESTKIT_CLOCK_FILE'] ?? '';
const real = Date;
let shiftMs = 0;

function look(): void {
  const text = readFileSync(file, 'utf8');
  // Between truncation and write it is empty.
  if (text !== '') shiftMs = Number(text);
}

if (file !== '') {
  look();
  setInterval(look, lookEveryMs).unref();
  const now = (): number => real.now() + shiftMs;
  globalThis.Date = new Proxy(real, {
    construct: (target, args, newTarget): object =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as object,
    get: (target, name): unknown => (name === 'now' ? now : Reflect.get(target, name)),
  });
}
