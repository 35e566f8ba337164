import type { KindIo, KindSession, KindTarget, TargetKind } from '@sallyport/rotation';
import { type DirectoryLogin, type LoginDialect, logIn, type OpenDirectory } from './directory-login.ts';

type SessionOf = (
  target: KindTarget,
  login: DirectoryLogin,
  open: OpenDirectory,
  io: KindIo,
  signal: AbortSignal,
) => KindSession;

/** The two logins of a kind, which are the same for every directory. */
export function directoryLogins(dialect: LoginDialect, sessionOf: SessionOf): Pick<TargetKind, 'connect' | 'probe'> {
  return {
    async connect(target, login, io, signal) {
      const open = await logIn(dialect, target, login, io, signal);
      if (open.kind !== 'open') return open;
      return { kind: 'connected', session: sessionOf(target, login, open, io, signal) };
    },
    async probe(target, login, io, signal) {
      const open = await logIn(dialect, target, login, io, signal);
      if (open.kind !== 'open') return open;
      open.connection.close();
      return { kind: 'opens', address: open.address };
    },
  };
}
