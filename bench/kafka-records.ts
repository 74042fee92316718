/** What goes through `bench/kafka.ts`. */
import { t } from '../src/index.ts';

export const EVENT = t.struct({ key: t.string(), amount: t.int32(), note: t.string() });
export const TOTAL = t.struct({ key: t.string(), count: t.int32(), sum: t.int64() });
