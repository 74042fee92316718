/**
 * `npm run services`: starts every server that tests use, says where they are, and stops them when it is interrupted.
 *
 * Tests start and kill servers of their own; this is for looking at them, and for running jobs by hand.
 */
import { startKafka } from './kafka.ts';
import { startNats } from './nats.ts';
import { startPostgres } from './postgres.ts';
import { startS3 } from './s3.ts';
import { isMissing, type Missing } from './service.ts';

interface Started {
  readonly name: string;
  readonly where: string;
  stop(): Promise<void>;
}

const STARTS: readonly { readonly name: string; start(): Promise<Started | Missing> }[] = [
  {
    name: 'Kafka',
    start: async () => {
      const kafka = await startKafka();
      return isMissing(kafka)
        ? kafka
        : { name: 'Kafka', where: kafka.bootstrapServers, stop: kafka.stop };
    },
  },
  {
    name: 'NATS',
    start: async () => {
      const nats = await startNats();
      return isMissing(nats) ? nats : { name: 'NATS', where: nats.url, stop: nats.stop };
    },
  },
  {
    name: 'PostgreSQL',
    start: async () => {
      const postgres = await startPostgres();
      if (isMissing(postgres)) return postgres;
      const { host, port, database, user } = postgres.options;
      const where = `${host}:${port}, database ${database}, user ${user}, no password`;
      return { name: 'PostgreSQL', where, stop: () => postgres.stop() };
    },
  },
  {
    name: 'S3',
    start: async () => {
      const s3 = await startS3();
      if (isMissing(s3)) return s3;
      const { accessKeyId, secretAccessKey } = s3.credentials;
      const where = `${s3.endpoint} (region ${s3.region}, key ${accessKeyId}, secret ${secretAccessKey})`;
      return { name: 'S3', where, stop: () => s3.stop() };
    },
  },
];

const running: Started[] = [];
for (const { name, start } of STARTS) {
  const service = await start();
  if (isMissing(service)) console.log(`${name}: not here: ${service.missing}`);
  else {
    running.push(service);
    console.log(`${service.name}: ${service.where}`);
  }
}
console.log('Ctrl-C stops them.');
const hold = setInterval(() => {}, 60_000);
process.once('SIGINT', () => {
  clearInterval(hold);
  void Promise.all(running.map((service) => service.stop()));
});
