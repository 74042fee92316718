/** Another engine over the same event file: what one is asked for. */
export interface PeerOptions {
  readonly eventFile: string;
  readonly parallelism: number;
  /** In the peer's own words. */
  readonly backend: string;
  /** What it may use for state that is not on the heap. */
  readonly managedBytes: number;
  /** An empty folder for what it writes. */
  readonly dir: string;
  /** Options of its own that go before those of its tuning. */
  readonly config: Readonly<Record<string, string>>;
}

/** One run, from the first event that a source emits to the last result; CPU time is that of the whole process. */
export interface PeerRun {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly results: number;
  /** Of the process so far. */
  readonly peakRssBytes: number;
}

/** A process that runs queries as often as it is told. */
export interface Peer {
  run(query: string): Promise<PeerRun>;
  /** Writes the results as lines of JSON; at parallelism 1. */
  dump(query: string, file: string): Promise<void>;
  close(): Promise<void>;
}

export interface PeerEngine {
  /** Which of its backends stand beside one of ours: the best of them counts. */
  backendsFor(backend: string): readonly string[];
  start(options: PeerOptions): Promise<Peer>;
}
