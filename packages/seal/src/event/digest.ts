import { PamError } from '@sallyport/protocol';
import { hashText } from '../bytes.ts';

const maxDepth = 64;

/** base64url SHA-256 of the canonical JSON of a value: what the `digest` of events and recovery proofs covers. */
export function digestOf(value: unknown): Promise<string> {
  return hashText(canonicalJson(value, 0));
}

/**
 * JSON with sorted keys and no spaces (RFC 8785 for what we send: strings, booleans, null, integers, arrays, objects;
 * members that are undefined are left out).
 *
 * @throws PAM_BAD_REQUEST for anything else, or deeper than 64.
 */
function canonicalJson(value: unknown, depth: number): string {
  if (depth > maxDepth) throw new PamError('PAM_BAD_REQUEST', `A message is nested deeper than ${maxDepth}.`);
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, depth + 1)).join(',')}]`;
  if (typeof value === 'object') {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member, depth + 1)}`);
    return `{${members.join(',')}}`;
  }
  throw new PamError('PAM_BAD_REQUEST', 'A message holds something that JSON does not have.');
}
