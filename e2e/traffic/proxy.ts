/**
 * An HTTP proxy, a process of its own so that it can live on another machine of a lab. Prints a JSON line when it
 * listens, and one for each place it is asked for.
 *
 *     node e2e/traffic/proxy.ts ADDRESS USER:PASSWORD
 */
import { startConnectProxy } from '@sallyport/testkit';

const [listen = '127.0.0.1', login = ''] = process.argv.slice(2);
const say = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`);

process.stdin.on('end', () => process.exit(0)).resume();
const proxy = await startConnectProxy(() => undefined, { listen, login, onAsked: (asked) => say({ asked }) });
say({ listening: proxy.port });
