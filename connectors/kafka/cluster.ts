/** How a cluster is reached: addresses, SASL, TLS. */
import type { SASLOptions } from '@platformatic/kafka';
import { type Duration, durationMs } from '../../src/base/duration.ts';
import { invalid } from '../../src/base/errors.ts';
import { SocketTransport, type TlsOptions } from './socket-transport.ts';
import type { KafkaCluster } from './transport.ts';

export type SaslMechanism = 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';

export interface ClusterOptions {
  /** `host:port`, several parted by commas, or a list: some brokers of the cluster. */
  readonly bootstrapServers: string | readonly string[];
  readonly sasl?: {
    readonly mechanism: SaslMechanism;
    readonly username: string;
    readonly password: string;
  };
  /** TLS is used when this is given. */
  readonly tls?: TlsOptions;
  /** The name that brokers see. Default 'millrace'. */
  readonly clientId?: string;
  /** Default 10 s. */
  readonly connectTimeout?: Duration;
  /** How long a request may go without an answer. Default 30 s. */
  readonly requestTimeout?: Duration;
}

const MECHANISMS: readonly SaslMechanism[] = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'];

/**
 * A cluster of brokers from 3.1 on. @public
 * @throws `invalid` BAD_KAFKA_CLUSTER
 */
export function kafkaCluster(options: ClusterOptions): KafkaCluster {
  const { sasl, tls, clientId = 'millrace' } = options;
  const bootstrap = parseServers(options.bootstrapServers);
  if (sasl !== undefined && !MECHANISMS.includes(sasl.mechanism))
    throw invalid(
      'BAD_KAFKA_CLUSTER',
      `sasl.mechanism is one of ${MECHANISMS.join(', ')}, not ${sasl.mechanism}`,
    );
  const params = {
    bootstrap,
    clientId,
    connectTimeoutMs: durationMs(options.connectTimeout ?? '10 s'),
    requestTimeoutMs: durationMs(options.requestTimeout ?? '30 s'),
    tls,
    sasl: sasl as SASLOptions | undefined, // the same names and values
  };
  return {
    name: bootstrap.map(({ host, port }) => `${host}:${port}`).join(','),
    open: (services) => new SocketTransport(params, services),
  };
}

const SERVERS_MAX = 100;

function parseServers(servers: string | readonly string[]): { host: string; port: number }[] {
  const list = (typeof servers === 'string' ? servers.split(',') : servers)
    .map((server) => server.trim())
    .filter((server) => server !== '');
  if (list.length === 0 || list.length > SERVERS_MAX)
    throw invalid(
      'BAD_KAFKA_CLUSTER',
      `bootstrapServers names ${list.length} brokers; it is 'host:port', or several, at most ${SERVERS_MAX}`,
    );
  return list.map((server) => {
    const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(server);
    const port = Number(match?.[3]);
    if (match === null || port < 1 || port > 65_535)
      throw invalid(
        'BAD_KAFKA_CLUSTER',
        `bootstrap server ${JSON.stringify(server)} is not host:port`,
      );
    return { host: match[1] ?? match[2]!, port };
  });
}
