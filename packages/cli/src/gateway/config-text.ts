import { encodeJoinConfig, type JoinConfig, toKubernetesSecret } from '@sallyport/seal';

export const configFormats = ['json', 'b64', 'k8s'] as const;
export type ConfigFormat = (typeof configFormats)[number];

/** A join configuration as `-c` asks for it: JSON, the value of GATEWAY_CONFIG, or a Kubernetes secret. */
export function configText(config: JoinConfig, format: ConfigFormat, name: string): string {
  switch (format) {
    case 'json':
      return JSON.stringify(config, null, 2);
    case 'b64':
      return encodeJoinConfig(config);
    case 'k8s':
      return toKubernetesSecret(config, kubernetesName(name));
    default:
      return format satisfies never;
  }
}

/** A name Kubernetes takes (RFC 1123 label), from a title. */
function kubernetesName(title: string): string {
  const name = title
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 50);
  return `sallyport-${name === '' ? 'gateway' : name}`;
}
