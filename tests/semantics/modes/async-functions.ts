/** Makes process functions of tables async: each call waits a while before and after what the table's function does. */
import { KeyedConnectedStreams } from '../../../src/api/connected-streams.ts';
import { KeyedStream } from '../../../src/api/keyed-stream.ts';

type AnyFunction = (...args: unknown[]) => unknown;

const METHODS = ['processElement', 'processElement1', 'processElement2', 'onTimer'] as const;

/** The same function, whose calls take some turns. */
function waiting(user: Readonly<Record<string, unknown>>): unknown {
  const changed: Record<string, unknown> = { ...user };
  let calls = 0;
  for (const name of METHODS) {
    const method = user[name] as AnyFunction | undefined; // tables write them as methods
    if (method === undefined) continue;
    changed[name] = async (...args: unknown[]) => {
      // Not all as long, so that those of other keys pass.
      await turns(calls++ % 3);
      await method.apply(user, args);
      await turns(1);
    };
  }
  return changed;
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve();
}

/** For this process. */
export function makeFunctionsAsync(): void {
  for (const { prototype } of [KeyedStream, KeyedConnectedStreams]) {
    const stream = prototype as unknown as { process: AnyFunction }; // typed by what is processed; here it is wrapped
    const { process } = stream;
    stream.process = function (this: unknown, user, schema) {
      return process.call(this, waiting(user as Readonly<Record<string, unknown>>), schema);
    };
  }
}
