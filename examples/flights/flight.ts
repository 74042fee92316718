/** One departure, as the US Bureau of Transportation Statistics reports it. */
import { type Infer, t } from '../../src/index.ts';

export const flightSchema = t.struct({
  /** Scheduled departure, epoch milliseconds: the event time. */
  scheduled: t.timestamp(),
  /** Minutes after (or, negative, before) the schedule. */
  delay: t.int32(),
  /** Miles. */
  distance: t.int32(),
  origin: t.string(),
  destination: t.string(),
});

export type Flight = Infer<typeof flightSchema>;
