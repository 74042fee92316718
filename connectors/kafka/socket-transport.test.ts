import assert from 'node:assert/strict';
import { createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { realWorld } from '../../src/base/real-world.ts';
import { kafkaCluster } from './cluster.ts';
import type { KafkaTransport } from './transport.ts';

const world = realWorld({ log: () => {} });

/** A server that answers each request with `answerOf(api key)`; undefined: not at all. */
async function serve(
  answerOf: (apiKey: number) => Buffer | undefined,
  use: (transport: KafkaTransport) => Promise<void>,
): Promise<void> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (request) => {
      const answer = answerOf(request.readInt16BE(4));
      if (answer === undefined) return;
      const head = Buffer.alloc(8);
      head.writeInt32BE(answer.length + 4, 0);
      request.copy(head, 4, 8, 12);
      socket.write(Buffer.concat([head, answer]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // it listens on a port
  const transport = kafkaCluster({
    bootstrapServers: `127.0.0.1:${port}`,
    requestTimeout: '150 ms',
    connectTimeout: '1 s',
  }).open(world);
  try {
    await use(transport);
  } finally {
    await transport.close();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** ApiVersions v3: no error, one request kind, no throttling. */
const speaksOnly = (key: number, from: number, to: number): Buffer => {
  const answer = Buffer.alloc(2 + 1 + 7 + 4 + 1);
  answer.writeInt8(2, 2);
  answer.writeInt16BE(key, 3);
  answer.writeInt16BE(from, 5);
  answer.writeInt16BE(to, 7);
  return answer;
};

describe('a transport over sockets', () => {
  test('refuses a broker that does not speak what is needed, by name and with what it lacks', async () => {
    await serve(
      () => speaksOnly(3, 0, 12),
      async (transport) => {
        await assert.rejects(transport.metadata([]), {
          kind: 'invalid',
          code: 'KAFKA_BROKER_UNSUPPORTED',
          message: /does not speak FindCoordinator v4, .*Fetch v13/,
        });
      },
    );
  });

  test('refuses a broker that knows no version of the question', async () => {
    await serve(
      () => Buffer.from([0, 35, 0]),
      async (transport) => {
        await assert.rejects(transport.metadata([]), { code: 'KAFKA_BROKER_UNSUPPORTED' });
      },
    );
  });

  test('a server that never answers, or answers nonsense, is no answer', async () => {
    for (const answer of [undefined, Buffer.from('HTTP/1.1 400 Bad Request')])
      await serve(
        () => answer,
        async (transport) => {
          await assert.rejects(transport.metadata([]), { kind: 'unavailable' });
        },
      );
  });

  test('addresses that are none are refused before anything is opened', () => {
    for (const bootstrapServers of ['', 'host', 'host:0', 'host:70000', 'a b:1', []])
      assert.throws(() => kafkaCluster({ bootstrapServers }), { code: 'BAD_KAFKA_CLUSTER' });
    const mechanism = 'GSSAPI' as 'PLAIN'; // as a program without types has it
    assert.throws(
      () =>
        kafkaCluster({
          bootstrapServers: '[::1]:9092,b:1',
          sasl: { mechanism, username: 'u', password: 'p' },
        }),
      { code: 'BAD_KAFKA_CLUSTER', message: /SCRAM-SHA-512/ },
    );
  });
});
