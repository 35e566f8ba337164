import { type ApplicationUid, type KeyPart, type KeyWrap, PamError } from '@sallyport/protocol';
import { type BoxKey, type LogState, unwrapKey } from '@sallyport/seal';

/**
 * The application's keys, unwrapped when first needed and kept in memory only.
 *
 * A key counts only if the log's generation commits to it (`unwrapKey`), so a key stays right once it was right.
 */
export interface KeyRing {
  /** Takes the wraps of a hello. */
  offer(wraps: readonly KeyWrap[]): void;
  /** @throws PAM_WRAP_INVALID when there is no wrap for this generation, or none that is right. */
  key(part: KeyPart, gen: number, log: LogState): Promise<Uint8Array>;
}

export function createKeyRing(app: ApplicationUid, box: BoxKey): KeyRing {
  const wraps = new Map<string, string>();
  const keys = new Map<string, Promise<Uint8Array>>();
  return {
    offer: (offered) => {
      for (const { app: of, part, gen, recipient, wrap } of offered) {
        if (of === app && recipient === box.id) wraps.set(`${part}/${gen}`, wrap);
      }
    },
    key: (part, gen, log) => {
      const id = `${part}/${gen}`;
      const known = keys.get(id);
      if (known !== undefined) return known;
      const wrap = wraps.get(id);
      if (wrap === undefined) {
        const message = `the router gave no key of generation ${gen} for ${part}`;
        return Promise.reject(new PamError('PAM_WRAP_INVALID', message, { detail: { why: 'missing', gen } }));
      }
      const opening = unwrapKey(wrap, { app, part, gen }, box, log);
      keys.set(id, opening);
      opening.catch(() => keys.delete(id));
      return opening;
    },
  };
}
