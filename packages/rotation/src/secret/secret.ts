const shown = '[secret]';

/**
 * Text that opens something. It prints as `[secret]` wherever it is logged, put into JSON or shown by an inspector; only
 * `reveal` gives it, so that every place that can leak it is found by that word.
 */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  equals(other: Secret): boolean {
    return this.#text === other.#text;
  }

  toString(): string {
    return shown;
  }

  toJSON(): string {
    return shown;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return shown;
  }
}

/** What opens an account. A key's public half is in OpenSSH form, one line without a comment. */
export type Credential =
  | { readonly kind: 'password'; readonly password: Secret }
  | {
      readonly kind: 'ssh-key';
      readonly privateKey: Secret;
      readonly passphrase: Secret | null;
      readonly publicKey: string;
    };
