export type { FakeClock } from './clock/fake-clock.ts';
export { createFakeClock, settle } from './clock/fake-clock.ts';
export type { SeededRandom } from './clock/seeded-random.ts';
export { createSeededRandom } from './clock/seeded-random.ts';
export type { ShiftableClock } from './clock/shiftable-clock.ts';
export { newShiftableClock } from './clock/shiftable-clock.ts';
export { kindCases } from './kind/kind-compliance.ts';
export type { HeldWrite, KindAbility, KindCase, KindLab, KindLogin, KindServer } from './kind/kind-lab.ts';
export type { KindWorld } from './kind/kind-world.ts';
export { kindWorld, movedUntil } from './kind/kind-world.ts';
export { modifyMessage } from './ldap/modify-message.ts';
export type { SlapdOptions, SlapdTarget } from './ldap/start-slapd.ts';
export { makeServerKey } from './ldap/server-key.ts';
export type { SambaTarget } from './ldap/start-samba.ts';
export { startSamba } from './ldap/start-samba.ts';
export { expiringPolicy, readKey, startSlapd } from './ldap/start-slapd.ts';
export type { LinuxHost, LinuxHostOptions } from './linux-host/start-linux-host.ts';
export { requireLinuxHost, startLinuxHost } from './linux-host/start-linux-host.ts';
export type { HonestInstallation, HonestPool } from './lying-router/honest-installation.ts';
export { appendEntry, freshUid, honestInstallation, joinConfigOf } from './lying-router/honest-installation.ts';
export {
  dropEntry,
  editHeader,
  editPayload,
  flipFlags,
  forgeEntry,
  forkLog,
  relabel,
  reorderLog,
  replayUnder,
  rewireLinks,
  sealOwnPart,
  serveAsPart,
  serveOlder,
  serveOlderAsNewer,
  serveWrapAs,
  shortenLog,
  substituteInLog,
  swapEnvelopes,
  wrapOwnKey,
} from './lying-router/lies.ts';
export type { Scrape } from './metrics/read-metrics.ts';
export { readMetrics } from './metrics/read-metrics.ts';
export type { MariaDbOptions, MariaDbServer } from './mysql/start-mariadb.ts';
export { startMariaDb } from './mysql/start-mariadb.ts';
export type { LabHost, NetworkLab } from './network/network-lab.ts';
export { startNetworkLab, requireNetworkLab } from './network/network-lab.ts';
export type { PacketFault } from './network/packet-faults.ts';
export { loss, oneWay, silence } from './network/packet-faults.ts';
export type { PostgresServer } from './postgres/start-postgres.ts';
export { startPostgres, whyNoPostgres } from './postgres/start-postgres.ts';
export type { Child, ChildExit, ChildOptions, WaitOptions, Within } from './process/child.ts';
export { descendantsOf, isRunning, runChild, startChild } from './process/child.ts';
export type { Later } from './process/cleanup.ts';
export { createCleanup } from './process/cleanup.ts';
export { freePort } from './process/free-port.ts';
export type { Program } from './process/program-path.ts';
export { compileCache, programPath, sourcePath } from './process/program-path.ts';
export { tempDir } from './process/temp-dir.ts';
export type { RedisOptions, RedisServer } from './redis/start-redis.ts';
export { startRedis } from './redis/start-redis.ts';
export type { ConnectProxy, ConnectProxyOptions, ProxyManner } from './target/connect-proxy.ts';
export { startConnectProxy } from './target/connect-proxy.ts';
export type { FaultProxy } from './target/fault-proxy.ts';
export { startFaultProxy } from './target/fault-proxy.ts';
export type { HoldingProxy, NextMessage } from './target/holding-proxy.ts';
export { startHoldingProxy } from './target/holding-proxy.ts';
export type { HttpTarget } from './target/http-target.ts';
export { startHttpTarget } from './target/http-target.ts';
export type { TargetPresence } from './target/require-target.ts';
export { requireTarget } from './target/require-target.ts';
export type { SshdOptions, SshdTarget } from './target/sshd.ts';
export { startSshd } from './target/sshd.ts';
export type { Accepted, Behaviour, TcpTarget } from './target/tcp-target.ts';
export { amplifier, echo, neverReads, resets, sends, sink, startTcpTarget } from './target/tcp-target.ts';
export type { WebhookMode, WebhookReceiver } from './target/webhook.ts';
export { startWebhookReceiver } from './target/webhook.ts';
export type { TargetProgram } from './target-list.ts';
export { missingTargets, targetPrograms } from './target-list.ts';
