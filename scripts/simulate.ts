import { spawnSync } from 'node:child_process';

/**
 * Both simulations, one after the other: the pool's for a minute, the rotation's for 100,000 seeds. With arguments only the
 * one that knows them: `--seed`, `--seeds` and `--first` are the rotation's, everything else the pool's.
 */
const words = process.argv.slice(2);
const isRotation = words.some((word) => ['--seed', '--seeds', '--first'].includes(word.split('=')[0] ?? ''));
const files = { pool: 'packages/router/test/sim/run.ts', rotation: 'packages/rotation/test/sim/run.ts' };
const chosen = words.length === 0 ? [files.pool, files.rotation] : [isRotation ? files.rotation : files.pool];
const ends = chosen.map((file) => spawnSync(process.execPath, [file, ...words], { stdio: 'inherit' }).status);
process.exit(ends.every((status) => status === 0) ? 0 : 1);
