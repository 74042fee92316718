/**
 * What can go wrong with requests to the simulated object store, and the draw of what goes wrong with one.
 *
 *   refused    it fails before it has an effect (500, 503, a connection that is reset)
 *   throttled  the same, and the store says when to come back (429, 503 SlowDown)
 *   undecided  a conditional put that met another one: no effect (409)
 *   lost       it has its effect, and the caller gets `unavailable`
 *   altered    a get's answer is cut, has more than was asked for, is from another place of the object, or has a bit flipped
 *   stale      a list does not know changes of the last while: new objects are missing, deleted ones are there
 *   torn       a list fails when it has given a part
 *   slow       either way takes up to `stallMs`, and bodies travel at `bytesPerMs`
 */
import { MillraceError } from '../base/errors.ts';
import type { SeededRandom } from './seeded-random.ts';

export type StoreOperation =
  | 'get'
  | 'head'
  | 'put'
  | 'put-if-absent'
  | 'put-if-match'
  | 'delete'
  | 'list';

export interface StoreFaults {
  readonly latencyLeastMs: number;
  readonly latencyMostMs: number;
  readonly refusedProbability: number;
  readonly lostAnswerProbability: number;
  /** The same, of puts alone. */
  readonly lostPutProbability: number;
  readonly stallProbability: number;
  readonly stallMs: number;
  readonly throttledProbability: number;
  /** Only keys with this in them are throttled. */
  readonly throttledPart: string;
  readonly retryAfterMs: number;
  readonly undecidedProbability: number;
  readonly alteredProbability: number;
  /** Of each change of the last `staleMs`, that a list does not know it. */
  readonly staleProbability: number;
  readonly staleMs: number;
  readonly tornListProbability: number;
  readonly bytesPerMs: number;
}

export const CALM_STORE: StoreFaults = {
  latencyLeastMs: 0.2,
  latencyMostMs: 5,
  refusedProbability: 0,
  lostAnswerProbability: 0,
  lostPutProbability: 0,
  stallProbability: 0,
  stallMs: 0,
  throttledProbability: 0,
  throttledPart: '',
  retryAfterMs: 0,
  undecidedProbability: 0,
  alteredProbability: 0,
  staleProbability: 0,
  staleMs: 0,
  tornListProbability: 0,
  bytesPerMs: Number.POSITIVE_INFINITY,
};

export interface StoreRequest {
  readonly operation: StoreOperation;
  readonly key: string;
}

/** What becomes of one request. */
export interface Verdict {
  /** It fails with this, and has no effect. */
  readonly failure: MillraceError | undefined;
  readonly lost: boolean;
  /** It takes effect although the caller dies meanwhile. */
  readonly survivesCrash: boolean;
}

/** Draws nothing for what cannot happen, but for what it always drew. `met` is told what happens. */
export function drawVerdict(
  faults: StoreFaults,
  random: SeededRandom,
  { request, met }: { readonly request: StoreRequest; met(what: string): void },
): Verdict {
  const refused = random.chance(faults.refusedProbability);
  const lost = random.chance(faults.lostAnswerProbability) || losesPut(faults, random, request);
  const survivesCrash = random.chance(0.5);
  const failure = refused
    ? { what: 'refused', error: unanswered(request) }
    : drawRefusal(faults, random, request);
  if (failure !== undefined) met(failure.what);
  else if (lost) met('lost');
  return { failure: failure?.error, lost, survivesCrash };
}

function losesPut(
  { lostPutProbability }: StoreFaults,
  random: SeededRandom,
  { operation }: StoreRequest,
): boolean {
  return lostPutProbability > 0 && operation.startsWith('put') && random.chance(lostPutProbability);
}

function drawRefusal(
  faults: StoreFaults,
  random: SeededRandom,
  request: StoreRequest,
): { readonly what: string; readonly error: MillraceError } | undefined {
  const { throttledProbability, throttledPart, undecidedProbability, retryAfterMs } = faults;
  const { operation, key } = request;
  if (
    throttledProbability > 0 &&
    key.includes(throttledPart) &&
    random.chance(throttledProbability)
  )
    return { what: 'throttled', error: throttled(request, retryAfterMs) };
  const conditional = operation === 'put-if-absent' || operation === 'put-if-match';
  if (conditional && undecidedProbability > 0 && random.chance(undecidedProbability))
    return { what: 'undecided', error: unanswered(request) };
  return undefined;
}

type Answer = { readonly all: Uint8Array; readonly from: number; readonly to: number };

const ALTERATIONS: readonly ((answer: Answer, random: SeededRandom) => Uint8Array)[] = [
  // Cut.
  ({ all, from, to }, random) => all.slice(from, from + random.int(to - from)),
  // More than was asked for.
  ({ all, from, to }, random) =>
    Buffer.concat([all.subarray(from, to), new Uint8Array(random.between(1, 40))]),
  // Another place of the object.
  ({ all, from, to }, random) => {
    const start = random.int(all.length - (to - from) + 1);
    return all.slice(start, start + to - from);
  },
  // A bit.
  ({ all, from, to }, random) => {
    const bytes = all.slice(from, to);
    bytes[random.int(bytes.length)]! ^= 1 << random.int(8);
    return bytes;
  },
];

/** The bytes `from` to `to` of an object, altered on their way. */
export const altered = (answer: Answer, random: SeededRandom): Uint8Array =>
  random.pick(ALTERATIONS)(answer, random);

export const unanswered = ({ operation, key }: StoreRequest): MillraceError =>
  new MillraceError(
    'unavailable',
    'STORE_UNAVAILABLE',
    `${operation} of ${key}: the store did not answer`,
    { details: { key } },
  );

const throttled = ({ operation, key }: StoreRequest, retryAfterMs: number): MillraceError =>
  new MillraceError('unavailable', 'STORE_THROTTLED', `${operation} of ${key}: come back later`, {
    details: { key, retryAfterMs },
  });
