import {
  type GatewayUid,
  type ItemUid,
  type NetworkConfigurationFacts,
  PamError,
  type ResourceFacts,
  type StreamOptions,
} from '@sallyport/protocol';

/** Where a tunnel leads, before any address was resolved. */
export interface TunnelTarget {
  readonly host: string;
  readonly port: number;
  /** CIDRs of the configuration. */
  readonly networks: readonly string[];
  /** The host was supplied by the caller: only inside the networks. */
  readonly onlyInside: boolean;
}
export interface TunnelQuestion {
  readonly gateway: GatewayUid;
  readonly resource: ResourceFacts;
  readonly configurationUid: ItemUid;
  readonly configuration: NetworkConfigurationFacts;
  readonly options: StreamOptions;
}

const notAllowed = (why: string, message: string, remedy: string): PamError =>
  new PamError('PAM_TARGET_NOT_ALLOWED', message, { detail: { why }, remedy });

/**
 * Decides from sealed facts alone whether a resource may be tunnelled to by this gateway, and where it leads.
 *
 * @throws PAM_PERMISSION_OFF (tunneling is off), PAM_TARGET_NOT_ALLOWED (detail.why: configuration, gateway,
 *   supplied-host). The address itself is judged when it is known.
 * @see docs/threat-model.md: the router's mirror of the switches decides nothing
 */
export function decideTunnel(question: TunnelQuestion): TunnelTarget {
  const { resource, configuration, options } = question;
  if (resource.configuration !== question.configurationUid)
    throw notAllowed(
      'configuration',
      'the record names another PAM configuration than the request',
      'Link the record to the configuration with pam record edit -c.',
    );
  if (configuration.gateway !== question.gateway)
    throw notAllowed(
      'gateway',
      'the PAM configuration belongs to another gateway',
      'Start the tunnel through the gateway of the configuration.',
    );
  // The configuration is the ceiling: a record can only take away (docs/glossary.md, permission).
  const isCeilingOn = configuration.permissions.tunneling === 'on';
  if (!isCeilingOn || resource.permissions.tunneling === 'off')
    throw new PamError(
      'PAM_PERMISSION_OFF',
      `tunneling is off in the ${isCeilingOn ? 'record' : 'PAM configuration'}`,
      {
        detail: { permission: 'tunneling', by: isCeilingOn ? 'record' : 'configuration' },
      },
    );
  const isSupplied = options.host !== undefined || options.port !== undefined;
  if (isSupplied && !resource.allowSupplyHost)
    throw notAllowed(
      'supplied-host',
      'the record does not allow another host or port to be supplied',
      'Allow it with pam record edit --allow-supply-host on, or leave --target-host and --target-port out.',
    );
  return {
    host: options.host ?? resource.host,
    port: options.port ?? resource.port,
    networks: configuration.networks,
    onlyInside: isSupplied,
  };
}
