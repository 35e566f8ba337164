/**
 * NODE_OPTIONS for an instance that has no way to one port of this machine while `flagFile` exists. Planted inside its
 * process, because every instance of these tests lives in one network: it dials, and is told that no route leads there.
 */
export function cutOffOptions(port: number, flagFile: string): string {
  const source = `
    import { existsSync } from 'node:fs';
    import { Socket } from 'node:net';
    const connect = Socket.prototype.connect;
    Socket.prototype.connect = function (...args) {
      const [options] = Array.isArray(args[0]) ? args[0] : args;
      if (Number(options?.port) !== ${port} || !existsSync(${JSON.stringify(flagFile)})) return connect.apply(this, args);
      const error = Object.assign(new Error('no route (planted)'), { code: 'EHOSTUNREACH' });
      process.nextTick(() => this.destroy(error));
      return this;
    };`;
  return `--import=data:text/javascript,${encodeURIComponent(source)}`;
}
