import type { RecordType } from '@sallyport/protocol';
import type { Run } from '../cli.ts';
import { argument } from '../flags.ts';
import { showJson } from '../terminal/show.ts';
import { readRecordType } from '../vault/record-flags.ts';

/** `pam record template TYPE`: JSON with every field of the type, as `--from` and `record import` read it. */
export const run: Run = async (cli, args) => {
  showJson(cli.terminal, recordTemplate(readRecordType(argument(args, 0))));
  return Promise.resolve(undefined);
};

/** A complete example of a type; it is accepted as it stands once the names in it exist. */
export function recordTemplate(type: RecordType): Record<string, unknown> {
  const resource = {
    type,
    title: 'web1',
    application: 'prod',
    configuration: 'dc1-net',
    host: 'web1.example',
    port: 22,
    serverIdentity: 'first-seen',
    allowSupplyHost: false,
    permissions: { connections: 'default', tunneling: 'default', rotation: 'default', recording: 'default' },
    credentials: [{ record: 'root on web1', role: 'admin' }],
    tags: ['web'],
    notes: '',
    custom: {},
  };
  switch (type) {
    case 'pamMachine':
      return { ...resource, operatingSystem: 'linux' };
    case 'pamDatabase':
      return {
        ...resource,
        title: 'db1',
        host: 'db1.example',
        port: 5432,
        databaseType: 'postgresql',
        useSsl: true,
        databaseId: '',
      };
    case 'pamDirectory':
      return {
        ...resource,
        title: 'ldap1',
        host: 'ldap1.example',
        port: 636,
        directoryType: 'openldap',
        domainName: 'example',
        alternativeIps: [],
        useSsl: true,
      };
    case 'pamRemoteBrowser':
      return { ...resource, title: 'wiki', host: 'wiki.example', port: 443, url: 'https://wiki.example/' };
    case 'pamUser':
      return {
        type,
        title: 'root on web1',
        application: 'prod',
        configuration: null,
        login: 'root',
        distinguishedName: '',
        connectDatabase: '',
        managed: false,
        tags: [],
        notes: '',
        custom: {},
        secrets: { password: '', privatePemKey: '', passphrase: '', oneTimeCode: '' },
      };
    default:
      return type satisfies never;
  }
}
