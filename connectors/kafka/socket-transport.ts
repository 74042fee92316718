/**
 * A KafkaTransport over real sockets: connections (TCP, TLS, SASL) by @platformatic/kafka, requests ours.
 *
 * Each node has three channels, one connection each: requests, produce (ordered) and fetch (waits at the broker). A connection that broke is
 * opened again by the next request. Bootstrap addresses are tried in turn until one answers.
 */
import { Connection, type ConnectionOptions, type SASLOptions } from '@platformatic/kafka';
import { invalid, isMillraceError, MillraceError } from '../../src/base/errors.ts';
import type {
  Broker,
  KafkaTransport,
  Metadata,
  ProduceRequest,
  TransportServices,
} from './transport.ts';
import {
  addPartitionsToTxnApi,
  type Api,
  apiVersionsApi,
  endTxnApi,
  fetchApi,
  findCoordinatorApi,
  initProducerIdApi,
  listOffsetsApi,
  listTransactionsApi,
  metadataApi,
  NEEDED_APIS,
  offsetCommitApi,
  offsetFetchApi,
  produceApi,
} from './wire.ts';

/** TLS as `node:tls` has it; an empty object is TLS with the system's certificate authorities. */
export interface TlsOptions {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly passphrase?: string;
  /** Default true. False takes any certificate: for tests only. */
  readonly rejectUnauthorized?: boolean;
}

export interface SocketTransportOptions {
  readonly bootstrap: readonly { readonly host: string; readonly port: number }[];
  readonly clientId: string;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly tls: TlsOptions | undefined;
  readonly sasl: SASLOptions | undefined;
}

const IP_ADDRESS = /^[\d.]+$|:/;

type Channel = 'requests' | 'produce' | 'fetch';

export class SocketTransport implements KafkaTransport {
  readonly #options: SocketTransportOptions;
  readonly #services: TransportServices;
  readonly #connections = new Map<string, Promise<Connection>>();
  readonly #brokers = new Map<number, Broker>();
  /** Brokers whose versions fit. */
  readonly #checked = new Set<string>();
  #bootstrap = 0;
  #closed = false;

  constructor(options: SocketTransportOptions, services: TransportServices) {
    this.#options = options;
    this.#services = services;
  }

  async metadata(topics: readonly string[] | null): Promise<Metadata> {
    const metadata = await this.#askAny(metadataApi, topics);
    for (const broker of metadata.brokers) this.#brokers.set(broker.id, broker);
    return metadata;
  }

  async findCoordinator(
    kind: 'group' | 'transaction',
    key: string,
  ): ReturnType<KafkaTransport['findCoordinator']> {
    const found = await this.#askAny(findCoordinatorApi, { kind, key });
    if (found.errorCode === 0) this.#brokers.set(found.node.id, found.node);
    return found;
  }

  listOffsets: KafkaTransport['listOffsets'] = (node, isolation, queries) =>
    this.#ask(node, listOffsetsApi, { isolation, queries });

  fetchRecords: KafkaTransport['fetchRecords'] = (node, request) =>
    this.#ask(node, fetchApi, request, 'fetch');

  produce(node: number, request: ProduceRequest): ReturnType<KafkaTransport['produce']> {
    return this.#ask(node, produceApi, request, 'produce');
  }

  initProducerId: KafkaTransport['initProducerId'] = (node, request) =>
    this.#ask(node, initProducerIdApi, request);

  addPartitionsToTransaction: KafkaTransport['addPartitionsToTransaction'] = (node, request) =>
    this.#ask(node, addPartitionsToTxnApi, request);

  endTransaction: KafkaTransport['endTransaction'] = (node, request) =>
    this.#ask(node, endTxnApi, request);

  commitGroupOffsets: KafkaTransport['commitGroupOffsets'] = (node, groupId, offsets) =>
    this.#ask(node, offsetCommitApi, { groupId, offsets });

  fetchGroupOffsets: KafkaTransport['fetchGroupOffsets'] = (node, groupId, partitions) =>
    this.#ask(node, offsetFetchApi, { groupId, partitions });

  listTransactions: KafkaTransport['listTransactions'] = (node, states) =>
    this.#ask(node, listTransactionsApi, states);

  /** A request that is no part of the interface: administration. */
  administer<Request, Answer>(api: Api<Request, Answer>, request: Request): Promise<Answer> {
    return this.#askAny(api, request);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const connections = [...this.#connections.values()];
    this.#connections.clear();
    for (const opening of connections) {
      const connection = await opening.catch(() => undefined);
      await connection?.close().catch(() => {}); // already broken is closed enough
    }
  }

  async #ask<Request, Answer>(
    node: number,
    api: Api<Request, Answer>,
    request: Request,
    channel: Channel = 'requests',
  ): Promise<Answer> {
    const broker = this.#brokers.get(node);
    if (broker === undefined) throw notReached(`broker ${node} is not known yet`);
    return this.#send(broker, channel, api, request);
  }

  /** The first broker that answers: known ones, then the bootstrap addresses, from the last good one on. */
  async #askAny<Request, Answer>(api: Api<Request, Answer>, request: Request): Promise<Answer> {
    const { bootstrap } = this.#options;
    let failure: unknown;
    for (let tried = 0; tried < bootstrap.length; tried++) {
      try {
        return await this.#send(bootstrap[this.#bootstrap]!, 'requests', api, request);
      } catch (error) {
        failure = error;
        if (!isMillraceError(error) || error.kind !== 'unavailable') throw error;
        this.#bootstrap = (this.#bootstrap + 1) % bootstrap.length;
      }
    }
    throw failure;
  }

  async #send<Request, Answer>(
    { host, port }: { readonly host: string; readonly port: number },
    channel: Channel,
    api: Api<Request, Answer>,
    request: Request,
  ): Promise<Answer> {
    const connection = await this.#connection(host, port, channel);
    return this.#exchange(connection, api, request, `${host}:${port}/${channel}`);
  }

  #exchange<Request, Answer>(
    connection: Connection,
    api: Api<Request, Answer>,
    request: Request,
    name: string,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      connection.send(
        api.key,
        api.version,
        () => api.write(request),
        (_correlation, _key, _version, reader) => api.read(reader),
        true,
        api.plainHeader !== true,
        (error: unknown, answer) => {
          if (error === null || error === undefined) resolve(answer as Answer); // there is one when there is no error
          else {
            // A parser that throws comes here too: an answer in another format than asked for is no answer.
            this.#forget(name, connection);
            reject(noAnswer(api.name, `from ${name}`, error));
          }
        },
      );
    });
  }

  #connection(host: string, port: number, channel: Channel): Promise<Connection> {
    const name = `${host}:${port}/${channel}`;
    const open = this.#connections.get(name);
    if (open !== undefined) return open;
    if (this.#closed)
      return Promise.reject(
        new MillraceError('cancelled', 'KAFKA_CLOSED', 'the Kafka connection is closed'),
      );
    const opening = this.#open(host, port, name);
    this.#connections.set(name, opening);
    opening.catch(() => this.#connections.delete(name));
    return opening;
  }

  async #open(host: string, port: number, name: string): Promise<Connection> {
    const { clientId, connectTimeoutMs, requestTimeoutMs, tls, sasl } = this.#options;
    const options: ConnectionOptions = {
      connectTimeout: connectTimeoutMs,
      requestTimeout: requestTimeoutMs,
      // An address has no place in the server name that TLS sends.
      ...(tls === undefined ? {} : { tls: { ...tls }, tlsServerName: !IP_ADDRESS.test(host) }),
      ...(sasl === undefined ? {} : { sasl }),
    };
    const connection = new Connection(clientId, options);
    connection.on('error', () => this.#forget(name, connection));
    connection.on('close', () => this.#forget(name, connection));
    try {
      await connection.connect(host, port);
    } catch (error) {
      await connection.close().catch(() => {}); // the failure to connect is what counts
      throw connectFailure(host, port, error);
    }
    try {
      await this.#checkVersions(connection, `${host}:${port}`, name);
      return connection;
    } catch (error) {
      await connection.close().catch(() => {}); // as above
      throw error;
    }
  }

  /** Once for each broker: one that does not speak what is needed would only hang up, again and again. */
  async #checkVersions(connection: Connection, address: string, name: string): Promise<void> {
    if (this.#checked.has(address)) return;
    const spoken = await this.#exchange(connection, apiVersionsApi, undefined, name);
    const lacking = NEEDED_APIS.filter(({ key, version }) => {
      const [from, to] = spoken.get(key) ?? [-1, -1];
      return version < from || version > to;
    });
    if (lacking.length > 0)
      throw invalid(
        'KAFKA_BROKER_UNSUPPORTED',
        `the broker at ${address} does not speak ${lacking.map((api) => `${api.name} v${api.version}`).join(', ')}; the connector needs Apache Kafka 3.1 or newer`,
        { address },
      );
    this.#checked.add(address);
  }

  #forget(name: string, connection: Connection): void {
    const known = this.#connections.get(name);
    if (known === undefined) return;
    known.then(
      (current) => {
        if (current !== connection || this.#connections.get(name) !== known) return;
        this.#connections.delete(name);
        connection.close().catch(() => {}); // broken already
        this.#services.logger.log('debug', 'a Kafka connection ended', { connection: name });
      },
      () => {},
    );
  }
}

function notReached(what: string, cause?: unknown): MillraceError {
  return new MillraceError('unavailable', 'KAFKA_NOT_REACHED', what, {
    ...(cause === undefined ? {} : { cause }),
  });
}

function noAnswer(request: string, where: string, cause?: unknown): MillraceError {
  return new MillraceError('unavailable', 'KAFKA_NO_ANSWER', `${request}: no answer ${where}`, {
    ...(cause === undefined ? {} : { cause }),
    details: { request },
  });
}

const AUTHENTICATION_FAILED = 'PLT_KFK_AUTHENTICATION';
const USER_FAULT = 'PLT_KFK_USER';

/** What cannot be mended by trying again is the user's: credentials, mechanism, TLS where there is none. */
function connectFailure(host: string, port: number, error: unknown): MillraceError {
  const codes = causesOf(error);
  if (codes.some(({ code }) => code === AUTHENTICATION_FAILED))
    return invalid(
      'KAFKA_AUTHENTICATION_FAILED',
      `the broker at ${host}:${port} refused the credentials or the SASL mechanism; check sasl.mechanism, username and password`,
      { host, port },
    );
  if (
    codes.some(({ code, message }) => code === USER_FAULT || /certificate|TLS|SSL/i.test(message))
  )
    return invalid(
      'KAFKA_TLS_FAILED',
      `no secure connection to ${host}:${port}: ${codes.at(-1)?.message ?? ''}; check the tls option, the certificate authority and whether this listener speaks TLS`,
      { host, port },
    );
  return notReached(`${host}:${port} does not answer`, error);
}

function causesOf(error: unknown): { code: unknown; message: string }[] {
  const causes: { code: unknown; message: string }[] = [];
  let at: unknown = error;
  while (typeof at === 'object' && at !== null && causes.length < 8) {
    const { code, message, cause } = at as { code?: unknown; message?: unknown; cause?: unknown }; // an Error of any library
    causes.push({ code, message: typeof message === 'string' ? message : '' });
    at = cause;
  }
  return causes;
}
