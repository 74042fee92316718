import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { t } from '../../src/types/t.ts';
import type { MessageFormat } from '../../src/connector/message-format.ts';
import { avroMessages } from './avro-messages.ts';
import { protobufMessages } from './protobuf-messages.ts';
import { type SchemaRegistry, schemaRegistry } from './schema-registry.ts';

/** Keeps schemas in memory. */
class FakeRegistry implements SchemaRegistry {
  readonly schemas: string[] = [];
  readonly subjects: string[] = [];
  asked = 0;

  async schema(id: number): Promise<string | undefined> {
    this.asked++;
    return this.schemas[id];
  }

  async register(subject: string, schema: string): Promise<number> {
    this.subjects.push(subject);
    return this.schemas.push(schema) - 1;
  }
}

/** Decodes, waiting for what it needs. */
async function decode<T>(format: MessageFormat<T>, message: Uint8Array): Promise<T> {
  for (;;) {
    const decoded = format.decode(message);
    if (decoded instanceof Promise) await decoded;
    else if (decoded.ok) return decoded.value;
    else throw new TypeError(decoded.reason);
  }
}

const USER = {
  type: 'record',
  name: 'User',
  fields: [
    { name: 'name', type: 'string' },
    { name: 'age', type: 'int' },
    { name: 'mail', type: ['null', 'string'], default: null },
  ],
};
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('Avro messages', () => {
  test('bare Avro is read as it was written', async () => {
    const format = avroMessages({ avro: USER });
    await fc.assert(
      fc.asyncProperty(
        fc.record({ name: fc.string(), age: fc.integer(), mail: fc.option(fc.string()) }),
        async (user) => {
          assert.deepEqual(plain(await decode(format, format.encode(user))), plain(user));
        },
      ),
    );
  });

  test('a message begins with 0 and the number of its schema, and its schema is asked for once', async () => {
    const registry = new FakeRegistry();
    registry.schemas.length = 258;
    const writer = avroMessages({ avro: USER, registry });
    await writer.open?.('users', 'write');
    assert.deepEqual(registry.subjects, ['users-value']);
    const message = writer.encode({ name: 'A', age: 1, mail: null });
    assert.deepEqual([...message], [0, 0, 0, 1, 2, 2, 65, 2, 0]);
    const reader = avroMessages({ registry });
    for (let i = 0; i < 3; i++)
      assert.deepEqual(plain(await decode(reader, message)), { name: 'A', age: 1, mail: null });
    assert.equal(registry.asked, 1);
  });

  test('messages of an older schema are read as the newer one', async () => {
    const registry = new FakeRegistry();
    const older = avroMessages({
      avro: { ...USER, fields: USER.fields.slice(0, 2) },
      registry,
    });
    await older.open?.('users', 'write');
    const newer = avroMessages({ avro: USER, registry });
    const message = older.encode({ name: 'A', age: 1 });
    assert.deepEqual(plain(await decode(newer, message)), { name: 'A', age: 1, mail: null });
  });

  test('unframed, unknown, incompatible and broken messages are malformed with a reason', async () => {
    const registry = new FakeRegistry();
    registry.schemas.push(JSON.stringify('string'), 'no schema at all', JSON.stringify(USER));
    const format = avroMessages({ avro: USER, registry });
    const refused = (message: number[], reason: RegExp): Promise<void> =>
      assert.rejects(decode(format, Uint8Array.from(message)), { message: reason });
    await refused([], /does not begin with a schema id/);
    await refused([1, 0, 0, 0, 2, 0], /does not begin with a schema id/);
    await refused([0, 0, 0, 0, 9, 0], /knows no schema 9/);
    await refused([0, 0, 0, 0, 0, 0], /schema 0 cannot be read/);
    await refused([0, 0, 0, 0, 1, 0], /schema 1 cannot be read/);
    await refused([0, 0, 0, 0, 2, 200], /not Avro of its schema/);
  });

  test('a Millrace schema checks what was read', async () => {
    const format = avroMessages({
      avro: USER,
      schema: t.struct({ name: t.string(), age: t.int8() }),
    });
    assert.deepEqual(await decode(format, format.encode({ name: 'A', age: 7 })), {
      name: 'A',
      age: 7,
    });
    await assert.rejects(
      decode(format, format.encode({ name: 'A', age: 700 })),
      /age: expected int8/,
    );
  });

  test('a schema that is none, and a record that is not of it, are refused by name', () => {
    assert.throws(() => avroMessages({ avro: '{' }), { code: 'BAD_AVRO_SCHEMA' });
    assert.throws(() => avroMessages({}), { code: 'BAD_AVRO_SCHEMA' });
    assert.throws(() => avroMessages<object>({ avro: USER }).encode({ name: 1 }), {
      code: 'VALUE_NOT_AVRO',
    });
  });
});

const PROTO = `syntax = "proto3"; package shop;
message Ping {}
message Order {
  message Item { string sku = 1; int32 count = 2; }
  enum State { NEW = 0; PAID = 1; }
  int64 id = 1; State state = 2; repeated Item items = 3; bool large_one = 4;
}`;

describe('Protobuf messages', () => {
  const order = { id: 7, state: 'PAID', items: [{ sku: 'a', count: 2 }], large_one: false };

  test('bare messages are read as they were written, fields with their names and defaults', async () => {
    const format = protobufMessages({ proto: PROTO, message: 'shop.Order' });
    assert.deepEqual(plain(await decode(format, format.encode(order))), order);
    assert.deepEqual(plain(await decode(format, new Uint8Array())), {
      ...{ id: 0, state: 'NEW', items: [], large_one: false },
    });
  });

  test('the frame holds the schema number and the place of the message in its file', async () => {
    const registry = new FakeRegistry();
    const frameOf = async (message: string): Promise<number[]> => {
      const format = protobufMessages<object>({ proto: PROTO, message, registry });
      await format.open?.('orders', 'write');
      const bytes = format.encode({});
      assert.deepEqual(plain(await decode(format, bytes)), plain(await decode(format, bytes)));
      return [...bytes].slice(0, 8);
    };
    assert.deepEqual(await frameOf('shop.Ping'), [0, 0, 0, 0, 0, 0]);
    assert.deepEqual(await frameOf('shop.Order'), [0, 0, 0, 0, 1, 2, 2]);
    assert.deepEqual(await frameOf('shop.Order.Item'), [0, 0, 0, 0, 2, 4, 2, 0]);
  });

  test('framed messages are read whatever schema number they have', async () => {
    const registry = new FakeRegistry();
    const format = protobufMessages({ proto: PROTO, message: 'shop.Order', registry });
    await format.open?.('orders', 'write');
    assert.deepEqual(plain(await decode(format, format.encode(order))), order);
  });

  test('broken messages are malformed, also deep and long ones', async () => {
    const registry = new FakeRegistry();
    registry.schemas.push(PROTO);
    const framed = protobufMessages({ proto: PROTO, message: 'shop.Order', registry });
    await assert.rejects(decode(framed, Uint8Array.of(0, 0, 0, 0, 0, 255)), /path is broken/);
    await assert.rejects(decode(framed, Uint8Array.of(0, 0, 0, 0, 0, 2)), /path is broken/);
    const bare = protobufMessages({ proto: PROTO, message: 'shop.Order' });
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), async (message) => {
        const decoded = await bare.decode(message);
        assert.equal(typeof decoded?.ok, 'boolean');
      }),
    );
  });

  test('a schema with imports or without the message is refused by name', () => {
    const refused = { code: 'BAD_PROTOBUF_SCHEMA' };
    assert.throws(() => protobufMessages({ proto: PROTO, message: 'shop.None' }), refused);
    assert.throws(() => protobufMessages({ proto: 'import "x.proto";', message: 'a' }), refused);
  });
});

describe('the schema registry over HTTP', () => {
  let server: Server;
  let url = '';
  const requests: string[] = [];
  const answers: { status: number; body: string }[] = [];
  before(async () => {
    server = createServer((request, response) => {
      requests.push(`${request.method} ${request.url} ${request.headers.authorization ?? ''}`);
      const { status, body } = answers.shift() ?? { status: 500, body: '' };
      response.writeHead(status, { 'content-type': 'application/json' }).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => server.close());

  test('schemas are asked for and registered, once each, with credentials', async () => {
    const registry = schemaRegistry({ url: `${url}/`, auth: { username: 'u', password: 'p' } });
    answers.push(
      { status: 200, body: '{"schema":"\\"int\\""}' },
      { status: 200, body: '{"id":5}' },
    );
    assert.equal(await registry.schema(3), '"int"');
    assert.equal(await registry.schema(3), '"int"');
    assert.equal(await registry.register('a/b', '"int"', 'AVRO'), 5);
    assert.equal(await registry.register('a/b', '"int"', 'AVRO'), 5);
    assert.deepEqual(requests.splice(0), [
      'GET /schemas/ids/3 Basic dTpw',
      'POST /subjects/a%2Fb/versions Basic dTpw',
    ]);
  });

  test('an error of the server is tried again, an unknown schema is none, a refusal is named', async () => {
    const registry = schemaRegistry({ url });
    answers.push({ status: 503, body: '' }, { status: 200, body: '{"schema":"x"}' });
    assert.equal(await registry.schema(1), 'x');
    answers.push({ status: 404, body: '{}' });
    assert.equal(await registry.schema(2), undefined);
    answers.push({ status: 409, body: '{"message":"incompatible"}' });
    await assert.rejects(registry.register('s', 'x', 'PROTOBUF'), {
      code: 'KAFKA_REGISTRY_REFUSED',
      message: /incompatible/,
    });
    answers.push({ status: 200, body: '<html>' });
    await assert.rejects(registry.schema(4), { code: 'KAFKA_REGISTRY_REFUSED' });
    for (let i = 0; i < 3; i++) answers.push({ status: 500, body: '' });
    await assert.rejects(registry.schema(5), {
      kind: 'unavailable',
      code: 'KAFKA_REGISTRY_UNAVAILABLE',
    });
  });

  test('urls of other schemes, or with credentials in them, are refused', () => {
    for (const bad of ['file:///etc/passwd', 'nonsense', 'http://u:p@h/'])
      assert.throws(() => schemaRegistry({ url: bad }), { code: 'BAD_SCHEMA_REGISTRY' });
  });
});
