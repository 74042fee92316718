/**
 * A real Apache Kafka broker for tests: one node in KRaft mode on free loopback ports, its jars from Maven Central.
 *
 * The jars stay in Maven's own repository; the class path is kept in `.services/` of the repository root. Data is in a temporary folder that
 * is removed by `stop`, and survives `restart`.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';
import { freePort, type Missing, ServiceProcess } from './service.ts';

const run = promisify(execFile);

const KAFKA_VERSION = '4.3.1';
const CLUSTER_ID = 'MkU3OEVBNTcwNTJENDM2Qg';
const ROOT = `${import.meta.dirname}/../..`;
const CACHE = `${ROOT}/.services/kafka-${KAFKA_VERSION}`;
const RESOLVE_MS_MAX = 240_000;
const READY_MS_MAX = 60_000;
const PROBE_MS_MAX = 1000;

export interface KafkaServiceOptions {
  /** Broker settings over those of a single node; for instance `transaction.max.timeout.ms`. */
  readonly properties?: Readonly<Record<string, string>>;
  /** A second listener that asks for SASL: PLAIN and SCRAM, with this user. */
  readonly sasl?: { readonly username: string; readonly password: string };
  /** A third listener that speaks TLS, with a certificate of its own making for 127.0.0.1. */
  readonly tls?: boolean;
}

export interface KafkaService {
  /** `127.0.0.1:<port>`. */
  readonly bootstrapServers: string;
  /** Of the listener with SASL, if one was asked for. */
  readonly saslBootstrapServers: string | undefined;
  /** Of the listener with TLS, if one was asked for, and the certificate to trust. */
  readonly tls: { readonly bootstrapServers: string; readonly ca: string } | undefined;
  readonly process: ServiceProcess;
  /** SIGKILL and start again on the same data. */
  restart(): Promise<void>;
  /** SIGSTOP until `resume`. */
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
}

/** Starts a broker, or says what this machine lacks. */
export async function startKafka(
  options: KafkaServiceOptions = {},
): Promise<KafkaService | Missing> {
  const classPath = await findClassPath('kafka_2.13');
  if (typeof classPath !== 'string') return classPath;
  const folder = await mkdtemp(`${tmpdir()}/millrace-kafka-`);
  const ports = { port: await freePort(), controllerPort: await freePort() };
  const { port } = ports;
  const [saslPort, tlsPort] = [await freePort(), await freePort()];
  const { sasl } = options;
  const ca = options.tls === true ? await makeCertificate(folder) : undefined;
  const listeners: Listener[] = [
    { name: 'PLAINTEXT', protocol: 'PLAINTEXT', port },
    ...(sasl === undefined ? [] : [{ name: 'SASL', protocol: 'SASL_PLAINTEXT', port: saslPort }]),
    ...(ca === undefined ? [] : [{ name: 'TLS', protocol: 'SSL', port: tlsPort }]),
  ];
  const properties = {
    ...propertiesOf({ ...ports, folder, listeners }),
    ...(sasl === undefined ? {} : saslPropertiesOf(sasl)),
    ...(ca === undefined ? {} : tlsPropertiesOf(folder)),
    ...options.properties,
  };
  const file = `${folder}/server.properties`;
  await writeFile(
    file,
    Object.entries(properties)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );
  await format(classPath, file, sasl);
  const process = new ServiceProcess({
    name: 'Kafka',
    command: 'java',
    args: [...JVM_OPTIONS, '-Xmx384m', '-cp', classPath, 'kafka.Kafka', file],
    isReady: () => answersApiVersions(port),
    readyMsMax: READY_MS_MAX,
  });
  const stop = async (): Promise<void> => {
    await process.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await process.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    bootstrapServers: `127.0.0.1:${port}`,
    saslBootstrapServers: sasl === undefined ? undefined : `127.0.0.1:${saslPort}`,
    tls: ca === undefined ? undefined : { bootstrapServers: `127.0.0.1:${tlsPort}`, ca },
    process,
    restart: () => process.restart(),
    pause: () => process.pause(),
    resume: () => process.resume(),
    stop,
  };
}

const JVM_OPTIONS = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto'];

interface Listener {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
}

function propertiesOf({
  folder,
  controllerPort,
  listeners,
}: {
  readonly folder: string;
  readonly controllerPort: number;
  readonly listeners: readonly Listener[];
}): Record<string, string> {
  const addresses = listeners.map(({ name, port }) => `${name}://127.0.0.1:${port}`);
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: [...addresses, `CONTROLLER://127.0.0.1:${controllerPort}`].join(','),
    'advertised.listeners': addresses.join(','),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': [
      'CONTROLLER:PLAINTEXT',
      ...listeners.map(({ name, protocol }) => `${name}:${protocol}`),
    ].join(','),
    'log.dirs': `${folder}/data`,
    'auto.create.topics.enable': 'false',
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '2',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '2',
    'group.initial.rebalance.delay.ms': '0',
    // A broker that comes back after SIGKILL waits until the session of the one before is over.
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
    // Timed-out transactions are looked for at this interval: tests of refused commits wait for it.
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': '500',
  };
}

function saslPropertiesOf({
  username,
  password,
}: {
  readonly username: string;
  readonly password: string;
}): Record<string, string> {
  const plain = 'org.apache.kafka.common.security.plain.PlainLoginModule required';
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
  return {
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'listener.name.sasl.plain.sasl.jaas.config': `${plain} user_${username}="${password}";`,
    'listener.name.sasl.scram-sha-256.sasl.jaas.config': scram,
    'listener.name.sasl.scram-sha-512.sasl.jaas.config': scram,
  };
}

const STORE_PASSWORD = 'for-tests-only';

const tlsPropertiesOf = (folder: string): Record<string, string> => ({
  'listener.name.tls.ssl.keystore.location': `${folder}/keystore.p12`,
  'listener.name.tls.ssl.keystore.type': 'PKCS12',
  'listener.name.tls.ssl.keystore.password': STORE_PASSWORD,
  'listener.name.tls.ssl.key.password': STORE_PASSWORD,
});

/** A key and a certificate for 127.0.0.1 that signs itself, by the tool of the Java runtime; the certificate as PEM. */
async function makeCertificate(folder: string): Promise<string> {
  const store = [
    '-keystore',
    `${folder}/keystore.p12`,
    '-storepass',
    STORE_PASSWORD,
    '-alias',
    'broker',
  ];
  await run('keytool', [
    ...['-genkeypair', '-storetype', 'PKCS12', '-keyalg', 'EC', '-validity', '30'],
    ...['-dname', 'CN=127.0.0.1', '-ext', 'SAN=IP:127.0.0.1', ...store],
  ]);
  const { stdout } = await run('keytool', ['-exportcert', '-rfc', ...store]);
  return stdout;
}

async function format(
  classPath: string,
  file: string,
  sasl: KafkaServiceOptions['sasl'],
): Promise<void> {
  const scram = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) =>
    sasl === undefined
      ? []
      : ['--add-scram', `${mechanism}=[name=${sasl.username},password=${sasl.password}]`],
  );
  await run('java', [
    ...JVM_OPTIONS,
    '-Xmx256m',
    ...['-cp', classPath, 'kafka.tools.StorageTool', 'format'],
    ...['-t', CLUSTER_ID, '-c', file, '--ignore-formatted', ...scram],
  ]);
}

const classPaths = new Map<string, Promise<string | Missing>>();

/** The class path of one of Kafka's artifacts; resolved once and kept. */
export function findClassPath(artifact: string): Promise<string | Missing> {
  const known = classPaths.get(artifact) ?? lookUpClassPath(artifact);
  classPaths.set(artifact, known);
  return known;
}

async function lookUpClassPath(artifact: string): Promise<string | Missing> {
  const kept = await readFile(`${CACHE}/${artifact}.classpath`, 'utf8').catch(() => undefined);
  try {
    await run('java', ['-version']);
  } catch {
    return { missing: 'no Java runtime (`java`) on this machine' };
  }
  if (kept !== undefined && (await allExist(kept.split(':')))) return kept;
  return resolveClassPath(artifact);
}

/** Several test files may do so at once: what is kept appears whole. */
async function resolveClassPath(artifact: string): Promise<string | Missing> {
  await mkdir(CACHE, { recursive: true });
  const path = `${CACHE}/${artifact}.classpath`;
  const [pom, fresh] = [`${CACHE}/${artifact}-${process.pid}.xml`, `${path}-${process.pid}`];
  await writeFile(pom, pomOf(artifact));
  try {
    await run(
      'mvn',
      [
        ...['-B', '-q', '-f', pom, DEPENDENCY_PLUGIN],
        ...[`-Dmdep.outputFile=${fresh}`, '-Dmdep.includeScope=runtime'],
      ],
      { timeout: RESOLVE_MS_MAX },
    );
  } catch (error) {
    const reason = error as { code?: unknown; stdout?: string; message?: string }; // what execFile rejects with
    if (reason.code === 'ENOENT')
      return { missing: 'no Maven (`mvn`) on this machine to fetch the broker with' };
    const line = reason.stdout?.split('\n').find((text) => text.includes('ERROR'));
    return { missing: `Maven cannot resolve Kafka: ${line ?? reason.message ?? 'no reason'}` };
  } finally {
    await rm(pom);
  }
  await rename(fresh, path);
  return readFile(path, 'utf8');
}

async function allExist(paths: readonly string[]): Promise<boolean> {
  const found = await Promise.all(paths.map((path) => stat(path).catch(() => undefined)));
  return found.every((entry) => entry !== undefined);
}

const DEPENDENCY_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath';

const pomOf = (artifact: string): string => `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace.services</groupId>
  <artifactId>kafka-broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>${artifact}</artifactId>
      <version>${KAFKA_VERSION}</version>
    </dependency>
  </dependencies>
</project>
`;

/** Asks for the broker's API versions (version 0 of that request, which every broker answers). */
function answersApiVersions(port: number): Promise<boolean> {
  const request = Buffer.alloc(14);
  request.writeInt32BE(10, 0);
  request.writeInt16BE(18, 4); // ApiVersions
  request.writeInt16BE(0, 6);
  request.writeInt32BE(1, 8); // correlation id
  request.writeInt16BE(-1, 12); // no client id
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port, timeout: PROBE_MS_MAX });
    const settle = (ready: boolean): void => {
      socket.destroy();
      resolve(ready);
    };
    let received = Buffer.alloc(0);
    socket.on('connect', () => socket.write(request));
    socket.on('data', (data) => {
      received = Buffer.concat([received, data]);
      if (received.length >= 10)
        settle(received.readInt32BE(4) === 1 && received.readInt16BE(8) === 0);
    });
    socket.on('error', () => settle(false));
    socket.on('timeout', () => settle(false));
    socket.on('close', () => settle(false));
  });
}
