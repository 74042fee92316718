/** The few places that may do what the rules forbid, each with its reason. */

export interface BanException {
  readonly path: string;
  readonly what: readonly string[];
  readonly reason: string;
}

export const BAN_EXCEPTIONS: readonly BanException[] = [
  {
    path: 'src/base/real-world.ts',
    what: [
      'Date.now',
      'performance',
      'Math.random',
      'crypto randomness',
      'timers',
      'scheduling',
      'console',
      'node:net',
      'node:perf_hooks',
      'process.env',
    ],
    reason: 'the adapter that is the real clock, timers, randomness, network, log and environment',
  },
  {
    path: 'src/base/real-threads.ts',
    what: ['threads', 'node:worker_threads', 'node:os'],
    reason: 'the adapter that is the real threads, and knows how many can run',
  },
  {
    path: 'src/base/real-disk.ts',
    what: ['node:fs', 'new Date()'],
    reason: 'the adapter that is the local disk of caches',
  },
  {
    path: 'src/storage/local-files.ts',
    what: ['node:fs', 'node:fs/promises'],
    reason: 'the adapter that is the local folder',
  },
  {
    path: 'src/storage/s3/s3-client.ts',
    what: ['node:tls'],
    reason: 'asks which authorities are trusted, to add one',
  },
  {
    path: 'connectors/http/push-server.ts',
    what: ['node:http', 'node:https'],
    reason: 'the adapter that is the HTTP server; what it takes is decided in push-inbox.ts',
  },
  {
    path: 'src/base/errors.ts',
    what: ['instanceof on errors'],
    reason: 'where anything thrown becomes an Error, once',
  },
];

export interface SizeException {
  readonly path: string;
  readonly lines: number;
  readonly reason: string;
}

export const SIZE_EXCEPTIONS: readonly SizeException[] = [];

/** Import cycles that are meant, by their folder. */
export const CYCLE_EXCEPTIONS: readonly { readonly folder: string; readonly reason: string }[] = [
  {
    folder: 'src/api/',
    reason:
      'streams of each kind lead to streams of every other by a method: a fluent API is mutually recursive',
  },
];
