/** Layers and cycles: imports point down, types included; nothing imports its own folder's index. */
import { CYCLE_EXCEPTIONS } from './exceptions.ts';
import { isTest, resolveImport, type Source, type Violation } from './source.ts';

/** What each layer may import besides itself. Everything may import what these may import in turn. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  types: ['base'],
  storage: ['base'],
  lsm: ['storage'],
  graph: ['types'],
  connector: ['types'],
  state: ['lsm', 'types', 'storage'],
  operators: ['state', 'connector', 'types'],
  api: ['operators', 'graph', 'connector', 'types'],
  runtime: ['operators', 'state', 'graph'],
  sql: ['api', 'operators', 'graph', 'types'],
  cep: ['api', 'operators', 'graph', 'types'],
  cluster: ['runtime', 'graph'],
  cli: ['cluster', 'api', 'sql', 'cep'],
  testing: ['cli'],
};

function reachable(layer: string, seen = new Set<string>()): Set<string> {
  for (const below of LAYERS[layer] ?? []) {
    if (!seen.has(below)) {
      seen.add(below);
      reachable(below, seen);
    }
  }
  return seen;
}

const ALLOWED = new Map(Object.keys(LAYERS).map((layer) => [layer, reachable(layer)]));

const layerOf = (path: string): string | undefined => /^src\/([^/]+)\//.exec(path)?.[1];

function checkLayer(source: Source, target: string, line: number): Violation | undefined {
  const from = layerOf(source.path);
  const to = layerOf(target);
  if (isTest(source.path)) return undefined;
  const violation = (message: string): Violation => ({
    path: source.path,
    line,
    rule: 'layer',
    message,
  });
  if (source.path.startsWith('connectors/')) {
    const ok =
      !target.startsWith('src/') || ['connector', 'storage', 'types', 'base'].includes(to ?? '');
    return ok
      ? undefined
      : violation(`a connector imports connector, storage, types and base only, not ${target}`);
  }
  if (from === undefined) return undefined;
  const allowed = ALLOWED.get(from);
  if (allowed === undefined) return violation(`src/${from} is no layer; see docs/architecture.md`);
  if (!target.startsWith('src/')) {
    return from === 'testing' ? undefined : violation(`src imports nothing outside src: ${target}`);
  }
  if (to === undefined) return violation(`nothing imports ${target}; import the file itself`);
  if (from !== to && !allowed.has(to)) {
    return violation(
      `${from} may not import ${to}; it may import ${[...allowed].join(', ') || 'nothing'}`,
    );
  }
  const folder = source.path.slice(0, source.path.lastIndexOf('/'));
  if (target === `${folder}/index.ts`)
    return violation(`import the file itself, not the folder's index`);
  return undefined;
}

/** Strongly connected components of more than one file (Tarjan, SIAM J. Comput. 1972). */
function findCycles(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const onStack = new Set<string>();
  const cycles: string[][] = [];
  const visit = (node: string): void => {
    index.set(node, index.size);
    low.set(node, index.get(node)!);
    stack.push(node);
    onStack.add(node);
    for (const next of edges.get(node) ?? []) {
      if (!index.has(next)) {
        visit(next);
        low.set(node, Math.min(low.get(node)!, low.get(next)!));
      } else if (onStack.has(next)) {
        low.set(node, Math.min(low.get(node)!, index.get(next)!));
      }
    }
    if (low.get(node) !== index.get(node)) return;
    const component = stack.splice(stack.indexOf(node));
    for (const member of component) onStack.delete(member);
    if (component.length > 1) cycles.push(component);
  };
  for (const node of edges.keys()) if (!index.has(node)) visit(node);
  return cycles;
}

export function checkImports(sources: readonly Source[]): Violation[] {
  const known = new Set(sources.map((source) => source.path));
  const edges = new Map<string, string[]>();
  const violations: Violation[] = [];
  for (const source of sources) {
    const targets: string[] = [];
    for (const { specifier, line } of source.imports) {
      const target = resolveImport(source.path, specifier);
      if (target === undefined) continue;
      if (known.has(target)) targets.push(target);
      const violation = checkLayer(source, target, line);
      if (violation !== undefined) violations.push(violation);
    }
    edges.set(source.path, targets);
  }
  for (const cycle of findCycles(edges)) {
    if (CYCLE_EXCEPTIONS.some(({ folder }) => cycle.every((path) => path.startsWith(folder))))
      continue;
    violations.push({
      path: cycle[0]!,
      line: 1,
      rule: 'cycle',
      message: `import cycle: ${cycle.join(' -> ')}`,
    });
  }
  return violations;
}
