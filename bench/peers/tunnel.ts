/** Something that carries TCP from a local port to the target; what the bench compares. */
export interface Tunnel {
  readonly name: string;
  /** Connect here to reach the target. */
  readonly port: number;
  /** Root processes of the tunnel; their descendants count too. */
  readonly pids: readonly number[];
  /** Whether both ends switch Nagle's algorithm off, for the table. */
  readonly noDelay: string;
  close(): Promise<void>;
}
