/**
 * The program of a fork: under a name of its own, its results captured into files, and nothing told to the outside. What the job it comes from had
 * staged is not committed: that is the job's own.
 */
import { printable } from '../base/printable.ts';
import type { Sink, SinkWriter } from '../connector/sink.ts';
import type { Source } from '../connector/source.ts';
import type { NodeCode, Program } from '../graph/program.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** The name of the job that a fork of a job is. */
export const forkNameOf = (name: string): string => `${name} (fork)`;

export const isFork = ({ config }: Pick<Program, 'config'>): boolean =>
  typeof config['execution.fork.origin'] === 'string';

/** The program itself unless it is run as a fork. */
export function forkedProgram(program: Program, openCaptures: () => ObjectStore): Program {
  if (!isFork(program)) return program;
  const { graph } = program;
  const nodes = new Map(program.nodes);
  for (const { id, kind, name } of graph.nodes) {
    const code = nodes.get(id)!;
    if (kind === 'sink') nodes.set(id, { ...code, sink: captureSink(name, openCaptures) });
    if (kind === 'source') nodes.set(id, quietSource(code));
  }
  const kept = graph.nodes.map((node) =>
    node.kind === 'sink' ? { ...node, accepts: 'at-least-once' as const } : node,
  );
  return { ...program, graph: { ...graph, nodes: kept, name: forkNameOf(graph.name) }, nodes };
}

/** Offsets and acknowledgements are the business of the job that this is a fork of. */
function quietSource(code: NodeCode): NodeCode {
  const source = code.source as Source<unknown>; // a source node's code, by the graph's contract
  const quiet: Source<unknown> = {
    ...source,
    createReader(context) {
      const reader = source.createReader(context);
      return { openSplit: (state) => reader.openSplit(state), close: () => reader.close() };
    },
  };
  return { ...code, source: quiet };
}

/** Lines of JSON, one object of the folder `captured/<sink>` for each checkpoint and subtask that has some. */
function captureSink(name: string, openCaptures: () => ObjectStore): Sink<unknown> {
  const folder = `captured/${name.replaceAll(/[^A-Za-z0-9._-]+/g, '-').replace(/^\.+/, '')}`;
  return {
    guarantee: 'at-least-once',
    accepted: true,
    createCommitter: async () => ({ commit: async () => {}, close: async () => {} }),
    createWriter: async ({ subtaskIndex, attemptId }): Promise<SinkWriter<unknown>> => {
      const store = openCaptures();
      let lines: string[] = [];
      let parts = 0;
      return {
        write({ values }) {
          for (const value of values) lines.push(`${JSON.stringify(printable(value))}\n`);
        },
        async flush() {
          if (lines.length === 0) return;
          const part = String(parts++).padStart(6, '0');
          const text = lines.join('');
          lines = [];
          await store.put(`${folder}/${attemptId}-${subtaskIndex}-${part}`, Buffer.from(text));
        },
        close: () => store.close(),
      };
    },
  };
}
