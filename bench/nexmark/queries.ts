/** The queries by name: as a program, as a loop, and how their results are to be read. */
import type { DataStream, Sink } from '../../src/index.ts';
import type { Emit } from './loops/emit.ts';
import { q20Loop, q23Loop, q3Loop, q4Loop, q6Loop, q9Loop } from './loops/joins.ts';
import { q15Loop, q16Loop, q17Loop, q18Loop, q19Loop } from './loops/statistics.ts';
import {
  q0Loop,
  q10Loop,
  q13Loop,
  q14Loop,
  q1Loop,
  q21Loop,
  q22Loop,
  q2Loop,
} from './loops/stateless.ts';
import { q11Loop, q12Loop, q5Loop, q7Loop, q8Loop } from './loops/windows.ts';
import type { Event } from './model.ts';
import { q0 } from './queries/q0.ts';
import { q1 } from './queries/q1.ts';
import { q10, q10Sink } from './queries/q10.ts';
import { q11 } from './queries/q11.ts';
import { q12 } from './queries/q12.ts';
import { q13 } from './queries/q13.ts';
import { q14 } from './queries/q14.ts';
import { q15 } from './queries/q15.ts';
import { q16 } from './queries/q16.ts';
import { q17 } from './queries/q17.ts';
import { q18 } from './queries/q18.ts';
import { q19 } from './queries/q19.ts';
import { q2 } from './queries/q2.ts';
import { q20 } from './queries/q20.ts';
import { q21 } from './queries/q21.ts';
import { q22 } from './queries/q22.ts';
import { q23 } from './queries/q23.ts';
import { q3 } from './queries/q3.ts';
import { q4 } from './queries/q4.ts';
import { q5 } from './queries/q5.ts';
import { q6 } from './queries/q6.ts';
import { q7 } from './queries/q7.ts';
import { q8 } from './queries/q8.ts';
import { q9 } from './queries/q9.ts';

/** A query whose type of results nobody asks for. */
export interface Query {
  readonly about: string;
  readonly isStateful: boolean;
  /** Results wait for the end of a window, or for a timer: they have no latency of their own. */
  readonly waits?: boolean;
  program(events: DataStream<Event>): DataStream<object>;
  /** Where its results go, when writing them is part of the query. */
  sink?(dir: string): Sink<never>;
  /** `dir` is a folder for what the query writes. */
  loop(events: readonly Event[], emit: Emit, dir: string): void;
  /** The fields that name a result which a later one with the same values replaces. Absent: results are only added. */
  readonly replaces?: readonly string[];
}

const stateless = (
  about: string,
  program: Query['program'],
  loop: Query['loop'],
  sink?: Query['sink'],
): Query => ({ about, isStateful: false, program, loop, ...(sink === undefined ? {} : { sink }) });

const stateful = (
  about: string,
  program: Query['program'],
  loop: Query['loop'],
  replaces?: readonly string[],
): Query => ({
  about,
  isStateful: true,
  program,
  loop,
  ...(replaces === undefined ? {} : { replaces }),
});

export const QUERIES: Readonly<Record<string, Query>> = {
  q0: stateless('pass through', q0, q0Loop),
  q1: stateless('currency conversion', q1, q1Loop),
  q2: stateless('selection', q2, q2Loop),
  q3: stateful('local item suggestion', q3, q3Loop),
  q4: stateful('average price for a category', q4, q4Loop, ['category']),
  q5: { ...stateful('hot items', q5, q5Loop), waits: true },
  q6: { ...stateful('average selling price by seller', q6, q6Loop), waits: true },
  q7: { ...stateful('highest bid', q7, q7Loop), waits: true },
  q8: { ...stateful('monitor new users', q8, q8Loop), waits: true },
  q9: stateful('winning bids', q9, q9Loop, ['id']),
  q10: stateless('log to file system', q10, q10Loop, q10Sink),
  q11: { ...stateful('user sessions', q11, q11Loop), waits: true },
  q12: { ...stateful('processing-time windows', q12, q12Loop), waits: true },
  q13: stateless('bounded side input join', q13, q13Loop),
  q14: stateless('calculation', q14, q14Loop),
  q15: stateful('bidding statistics', q15, q15Loop, ['day']),
  q16: stateful('channel statistics', q16, q16Loop, ['channel', 'day']),
  q17: stateful('auction statistics', q17, q17Loop, ['auction', 'day']),
  q18: stateful('find last bid', q18, q18Loop, ['bidder', 'auction']),
  q19: stateful('auction top ten', q19, q19Loop, ['auction', 'rank']),
  q20: stateful('expand bid with auction', q20, q20Loop),
  q21: stateless('add channel id', q21, q21Loop),
  q22: stateless('get URL directories', q22, q22Loop),
  q23: stateful('user with bids and auctions', q23, q23Loop),
};
