/** Where a loop puts its results: an engine's sink is handed them, so a loop must make them too. */
export type Emit = (result: object) => void;
