import { type ErrorCode, errorCatalog } from './catalog.ts';

export type ErrorDetail = Readonly<Record<string, string | number>>;

/** The same symbol in every copy of this module. */
const mark = Symbol.for('sallyport.PamError');

/**
 * The only error type that crosses a package boundary.
 *
 * `message` says what happened to this user now; the remedy comes from the catalogue unless `remedy` is given.
 * `message`, `detail` and `remedy` are shown to users and logged: never a secret.
 */
export class PamError extends Error {
  /** An error of another copy of this class is one too: a plug-in that is built by itself brings its own copy. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && mark in value;
  }

  override readonly name = 'PamError';
  readonly code: ErrorCode;
  readonly detail: ErrorDetail;
  readonly remedy: string;

  constructor(
    code: ErrorCode,
    message: string,
    options: ErrorOptions & { readonly detail?: ErrorDetail; readonly remedy?: string } = {},
  ) {
    super(message, options);
    this.code = code;
    this.detail = options.detail ?? {};
    this.remedy = options.remedy ?? errorCatalog[code].remedy;
  }

  get [mark](): true {
    return true;
  }

  /** Wraps whatever a library threw; the original stays in `cause` for logs and is never shown. */
  static from(reason: unknown, code: ErrorCode, message: string): PamError {
    return reason instanceof PamError ? reason : new PamError(code, message, { cause: reason });
  }
}

/** Shape of an error on the wire (HTTP body, JSON-RPC `data`, REFUSED frame). */
export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
  readonly detail: ErrorDetail;
}

export function toWireError(error: PamError): WireError {
  return { code: error.code, message: error.message, remedy: error.remedy, detail: error.detail };
}
