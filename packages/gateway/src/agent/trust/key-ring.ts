import { type ApplicationUid, type KeyWrap, PamError } from '@sallyport/protocol';
import { type BoxKey, type LogState, unwrapKey } from '@sallyport/seal';

/**
 * The application's facts keys, unwrapped when first needed and kept in memory only.
 *
 * A key counts only if the log's generation commits to it (`unwrapKey`), so a key stays right once it was right.
 */
export interface KeyRing {
  /** Takes the wraps of a hello. */
  offer(wraps: readonly KeyWrap[]): void;
  /** @throws PAM_WRAP_INVALID when there is no wrap for this generation, or none that is right. */
  factsKey(gen: number, log: LogState): Promise<Uint8Array>;
}

export function createKeyRing(app: ApplicationUid, box: BoxKey): KeyRing {
  const wraps = new Map<number, string>();
  const keys = new Map<number, Promise<Uint8Array>>();
  return {
    offer: (offered) => {
      for (const { app: of, part, gen, recipient, wrap } of offered) {
        if (of !== app || part !== 'facts' || recipient !== box.id) continue;
        if (wraps.get(gen) === wrap) continue;
        wraps.set(gen, wrap);
      }
    },
    factsKey: (gen, log) => {
      const known = keys.get(gen);
      if (known !== undefined) return known;
      const wrap = wraps.get(gen);
      if (wrap === undefined) {
        const message = `the router gave no key of generation ${gen}`;
        return Promise.reject(new PamError('PAM_WRAP_INVALID', message, { detail: { why: 'missing', gen } }));
      }
      const opening = unwrapKey(wrap, { app, part: 'facts', gen }, box, log);
      keys.set(gen, opening);
      opening.catch(() => keys.delete(gen));
      return opening;
    },
  };
}
