/** One HTTP exchange with the router. Implementations check the router's key before they send a byte. */
export interface Transport {
  /** HOST:PORT, IPv6 in brackets. */
  readonly address: string;
  /**
   * PAM_ROUTER_UNREACHABLE (detail.sent 0: nothing was sent, 1: the outcome is unknown), PAM_ROUTER_IMPOSTOR,
   * PAM_TIMEOUT, PAM_TOO_LARGE (reply over its limit), PAM_INTERRUPTED.
   */
  send(request: HttpRequest): Promise<HttpReply>;
  close(): void;
}

export interface HttpRequest {
  readonly method: string;
  /** With the query string. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  readonly signal: AbortSignal;
}

export interface HttpReply {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Bytes of a reply that are read at most. */
export const replyLimitBytes = 64 * 1_024 * 1_024;
export const connectWithinMs = 5_000;
export const replyWithinMs = 20_000;
