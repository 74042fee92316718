/** A real NATS server with JetStream for tests, over a temporary folder, on a free loopback port. */
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { goBinary } from './go-binary.ts';
import { freePort, type Missing, ServiceProcess } from './service.ts';

const VERSION = '2.15.2';
const READY_MS_MAX = 20_000;

export interface NatsService {
  /** `nats://127.0.0.1:port` */
  readonly url: string;
  readonly process: ServiceProcess;
  stop(): Promise<void>;
}

/** Starts a server, or says what this machine lacks. */
export async function startNats(): Promise<NatsService | Missing> {
  const binary = await goBinary('github.com/nats-io/nats-server/v2', VERSION);
  if (typeof binary !== 'string') return binary;
  const folder = await mkdtemp(`${tmpdir()}/millrace-nats-`);
  const port = await freePort();
  const process = new ServiceProcess({
    name: 'nats-server',
    command: binary,
    args: ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', folder],
    isReady: () => greets(port),
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
  return { url: `nats://127.0.0.1:${port}`, process, stop };
}

/** Whether a server says INFO, its first word. */
function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('data', (data) => {
      resolve(data.toString().startsWith('INFO '));
      socket.destroy();
    });
    socket.once('error', () => resolve(false));
  });
}
