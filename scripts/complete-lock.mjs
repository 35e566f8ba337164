// Adds to package-lock.json the platform packages that the registry in use did not serve, from their parents' exact optionalDependencies.
import { readFileSync, writeFileSync } from 'node:fs';
const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    const top = `node_modules/${name}`;
    const nested = `${path}/node_modules/${name}`;
    if (lock.packages[nested] || (lock.packages[top] && lock.packages[top].version === range)) continue;
    if (!/^\d/.test(range)) {
      console.error('not exact', path, name, range, lock.packages[top]?.version);
      continue;
    }
    const key = lock.packages[top] ? nested : top;
    const m = /(android|darwin|freebsd|linux|openharmony|win32|wasm32)-?(.*)$/.exec(name);
    lock.packages[key] = {
      version: range,
      optional: true,
      ...(path && lock.packages[path].dev ? { dev: true } : {}),
      ...(m && m[1] !== 'wasm32'
        ? {
            os: [m[1]],
            cpu: [
              { 'arm-eabi': 'arm', 'arm-gnueabihf': 'arm', 'arm-musleabihf': 'arm' }[m[2]] ??
                m[2].replace(/-(gnu|musl|msvc)$/, ''),
            ],
          }
        : { cpu: ['wasm32'] }),
      ...(m?.[2].endsWith('musl') ? { libc: ['musl'] } : m?.[2].endsWith('gnu') ? { libc: ['glibc'] } : {}),
    };
    added++;
  }
}
const sorted = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
lock.packages = sorted;
writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
console.error('added', added);
