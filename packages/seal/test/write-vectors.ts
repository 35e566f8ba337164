import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeVectors } from './make-vectors.ts';

/**
 * Writes docs/vault-vectors.json anew: `node packages/seal/test/write-vectors.ts`. Run it only when a format changes,
 * which means a new version of that format: what others have stored must keep opening.
 */
const path = join(import.meta.dirname, '../../../docs/vault-vectors.json');
writeFileSync(path, `${JSON.stringify(await makeVectors(), null, 2)}\n`);
