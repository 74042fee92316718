/**
 * Worker threads in simulation: nodes that run an entry function, joined to their parent and to each other by simulated links.
 *
 * A worker that crashes takes its timers, deliveries and links with it; its parent sees `exited` and the close of its links. The
 * death of the parent kills its workers, as a process takes its threads along, unless the workers are `detached`: then they live on with closed
 * links, as processes do.
 */
import { asError, MillraceError } from '../base/errors.ts';
import type { MessageLink, Threads, WorkerHandle, WorkerHost } from '../base/world.ts';
import { createLink, type LinkDelay, THREAD_DELAY } from './sim-link.ts';
import type { SimNetwork } from './sim-network.ts';
import { SimNode } from './sim-node.ts';
import { SimWorld } from './sim-world.ts';

/** What a worker runs. A rejection ends the worker with that error. */
export type WorkerEntry = (host: WorkerHost, world: SimWorld) => void | Promise<void>;

export interface SimThreadsOptions {
  readonly delay?: LinkDelay;
  /** Workers outlive their parent. Default false. */
  readonly detached?: boolean;
}

interface Introduction {
  readonly peer: string;
  readonly link: MessageLink;
}

/** A worker as the simulation sees it: what scenarios crash and freeze. */
export interface SimWorker {
  readonly name: string;
  readonly node: SimNode;
  readonly world: SimWorld;
}

class SimWorkerHost implements WorkerHost {
  readonly name: string;
  readonly data: unknown;
  readonly control: MessageLink;
  readonly #node: SimNode;
  #early: Introduction[] = [];
  #connected: ((peer: string, link: MessageLink) => void) | undefined;

  constructor(node: SimNode, setup: { name: string; data: unknown; control: MessageLink }) {
    this.#node = node;
    this.name = setup.name;
    this.data = setup.data;
    this.control = setup.control;
  }

  onPeer(connected: (peer: string, link: MessageLink) => void): void {
    this.#connected = connected;
    for (const { peer, link } of this.#early.splice(0)) connected(peer, link);
  }

  introduce(introduction: Introduction): void {
    this.#node.after(0.01, `meets ${introduction.peer}`, () => {
      if (this.#connected === undefined) this.#early.push(introduction);
      else this.#connected(introduction.peer, introduction.link);
    });
  }
}

interface Started {
  readonly worker: SimWorker;
  readonly host: SimWorkerHost;
}

/** Handed out with each worker of one process; `workers` is what is alive of it. */
export class SimThreads implements Threads {
  readonly #parent: SimNode;
  readonly #network: SimNetwork;
  readonly #entry: WorkerEntry;
  readonly #options: SimThreadsOptions;
  readonly #started = new Map<WorkerHandle, Started>();
  #count = 0;

  constructor(
    parent: { readonly node: SimNode; readonly network: SimNetwork },
    entry: WorkerEntry,
    options: SimThreadsOptions = {},
  ) {
    this.#parent = parent.node;
    this.#network = parent.network;
    this.#entry = entry;
    this.#options = options;
  }

  /** Workers that have not died, frozen ones too. */
  get workers(): readonly SimWorker[] {
    return [...this.#started.values()].map(({ worker }) => worker).filter(({ node }) => node.alive);
  }

  start(name: string, data: unknown): WorkerHandle {
    const parent = this.#parent;
    const node = new SimNode(
      parent.scheduler,
      `${parent.name}/${name}#${this.#count++}`,
      parent.host,
    );
    const world = new SimWorld(node, this.#network);
    const link = createLink(parent, node, this.#options.delay ?? THREAD_DELAY);
    const host = new SimWorkerHost(node, { name, data: structuredClone(data), control: link.b });
    if (this.#options.detached !== true) parent.onDeath(() => node.crash());
    const handle: WorkerHandle = {
      name,
      control: link.a,
      exited: this.#watch(node, name),
      terminate: () => this.#terminate(node),
    };
    this.#started.set(handle, { worker: { name, node, world }, host });
    node.after(this.#startDelayMs(), 'starts', () => this.#run(node, host, world));
    return handle;
  }

  connect(a: WorkerHandle, b: WorkerHandle): void {
    const from = this.#started.get(a)!; // handles come from `start`
    const to = this.#started.get(b)!;
    const link = createLink(from.worker.node, to.worker.node, this.#options.delay ?? THREAD_DELAY);
    from.host.introduce({ peer: b.name, link: link.a });
    to.host.introduce({ peer: a.name, link: link.b });
  }

  #startDelayMs(): number {
    return this.#parent.scheduler.random.float(1, 40);
  }

  #run(node: SimNode, host: WorkerHost, world: SimWorld): void {
    const running = this.#entry(host, world);
    running?.catch((error: unknown) => {
      node.crash(asError(error));
    });
  }

  #watch(node: SimNode, name: string): Promise<Error | undefined> {
    return new Promise((resolve) => {
      node.onDeath((failure) => {
        this.#parent.after(this.#startDelayMs() / 10, `sees ${node.name} exit`, () =>
          resolve(
            failure ??
              new MillraceError('unavailable', 'WORKER_EXITED', `worker ${name} was terminated`),
          ),
        );
      });
    });
  }

  #terminate(node: SimNode): Promise<void> {
    return new Promise((resolve) => {
      this.#parent.after(0.05, `terminates ${node.name}`, () => {
        node.crash();
        resolve();
      });
    });
  }
}
