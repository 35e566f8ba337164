import type { Cli } from '../cli.ts';
import { openSignedIn, type SignedIn } from '../person/signed-in.ts';
import { plain } from '../terminal/terminal.ts';
import { openVault, type Vault } from './vault.ts';

/** A sign-in with its vault: what most commands begin with. Call `close` when done, or the process waits for sockets. */
export interface VaultSession extends SignedIn {
  readonly vault: Vault;
  close(): void;
}

export async function openVaultSession(cli: Cli): Promise<VaultSession> {
  const signedIn = await openSignedIn(cli);
  const vault = openVault({
    signedIn,
    clock: cli.clock,
    warn: (text) => cli.terminal.err(`warning: ${plain(text)}\n`),
  });
  return { ...signedIn, vault, close: () => signedIn.client.close() };
}
