/** Worker threads as `Threads`: each runs the module that this process runs, in the worker role. */
import {
  isMainThread,
  MessageChannel,
  type MessagePort,
  parentPort,
  type Transferable,
  Worker,
  workerData,
} from 'node:worker_threads';
import { availableParallelism } from 'node:os';
import { invalid, MillraceError } from './errors.ts';
import type { MessageLink, Threads, WorkerHandle, WorkerHost } from './world.ts';

interface WorkerSetup {
  readonly millraceWorker: string;
  readonly data: unknown;
  readonly control: MessagePort;
}

interface PeerIntroduction {
  readonly peer: string;
  readonly port: MessagePort;
}

function portLink(port: MessagePort): MessageLink {
  return {
    post: (message, transfer) =>
      port.postMessage(message, transfer as readonly Transferable[] | undefined), // ArrayBuffers are transferable
    onMessage: (receive) => {
      port.on('message', receive);
    },
    onClose: (closed) => {
      port.on('close', closed);
    },
    close: () => port.close(),
  };
}

class ThreadHandle implements WorkerHandle {
  readonly name: string;
  readonly control: MessageLink;
  readonly exited: Promise<Error | undefined>;
  readonly #worker: Worker;

  constructor(name: string, entry: string, data: unknown) {
    const { port1, port2 } = new MessageChannel();
    const setup: WorkerSetup = { millraceWorker: name, data, control: port2 };
    this.name = name;
    this.#worker = new Worker(entry, {
      name,
      workerData: setup,
      transferList: [port2],
      argv: process.argv.slice(2),
    });
    this.control = portLink(port1);
    this.exited = new Promise((resolve) => {
      let failure: Error | undefined;
      this.#worker.on('error', (error) => {
        failure = error;
      });
      this.#worker.on('exit', (code) => {
        port1.close();
        resolve(
          failure ??
            (code === 0
              ? undefined
              : new MillraceError(
                  'unavailable',
                  'WORKER_EXITED',
                  `worker ${name} exited with code ${code}`,
                )),
        );
      });
    });
  }

  introduce(introduction: PeerIntroduction): void {
    this.#worker.postMessage(introduction, [introduction.port]);
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}

/**
 * Threads that run `entry`, by default the module this process was started with.
 * @throws `invalid` NO_ENTRY_MODULE when the process was started without one
 */
export function realThreads(entry: string | undefined = process.argv[1]): Threads {
  const handles = new Map<WorkerHandle, ThreadHandle>();
  if (entry === undefined)
    throw invalid(
      'NO_ENTRY_MODULE',
      'worker threads run the module that node was started with, and there is none; put the program into a file, or set parallelism.default to 1',
    );
  return {
    start(name, data) {
      const handle = new ThreadHandle(name, entry, data);
      handles.set(handle, handle);
      void handle.exited.then(() => handles.delete(handle));
      return handle;
    },
    connect(a, b) {
      const [from, to] = [handles.get(a), handles.get(b)];
      // One of them is gone: its successor will be connected.
      if (from === undefined || to === undefined) return;
      const { port1, port2 } = new MessageChannel();
      from.introduce({ peer: b.name, port: port1 });
      to.introduce({ peer: a.name, port: port2 });
    },
  };
}

/** This thread's side when it is a Millrace worker; undefined on the main thread and in foreign workers. */
export function currentWorker(): WorkerHost | undefined {
  if (
    isMainThread ||
    typeof workerData !== 'object' ||
    workerData === null ||
    !('millraceWorker' in workerData)
  )
    return undefined;
  const setup = workerData as WorkerSetup; // only ThreadHandle starts workers with this member
  const early: PeerIntroduction[] = [];
  let receive: ((peer: string, link: MessageLink) => void) | undefined;
  parentPort!.on('message', (introduction: PeerIntroduction) => {
    if (receive === undefined) early.push(introduction);
    else receive(introduction.peer, portLink(introduction.port));
  });
  return {
    name: setup.millraceWorker,
    data: setup.data,
    control: portLink(setup.control),
    onPeer(connected) {
      receive = connected;
      for (const { peer, port } of early.splice(0)) connected(peer, portLink(port));
    },
  };
}

/** How many threads can run at once. */
export const processorCount = (): number => availableParallelism();
