/** Makes a seed's faults happen. */
import type { SimJob } from '../../src/testing/sim-job.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import type { Simulation } from '../../src/testing/simulation.ts';
import type { Fault, Settings } from './settings.ts';

interface Scene {
  readonly sim: Simulation;
  readonly job: SimJob;
  readonly settings: Settings;
}

export function scheduleFaults(scene: Scene): void {
  for (const fault of scene.settings.faults)
    scene.sim.at(fault.atMs, fault.kind, () => inflict(scene, fault));
}

function victimOf({ job }: Scene, { choice }: Fault): SimNode | undefined {
  const { workers } = job;
  return workers[Math.floor(choice * workers.length)]?.node;
}

function inflict(scene: Scene, fault: Fault): void {
  const { sim, job } = scene;
  switch (fault.kind) {
    case 'crash-worker':
      victimOf(scene, fault)?.crash();
      return;
    case 'crash-all-workers':
      for (const { node } of job.workers) node.crash();
      return;
    case 'crash-master':
      job.process?.node.crash();
      return;
    case 'freeze-worker': {
      const victim = victimOf(scene, fault);
      victim?.freeze();
      sim.at(fault.durationMs, 'thaws worker', () => victim?.thaw());
      return;
    }
    case 'zombie-master':
      replaceMaster(scene, fault);
      return;
    case 'slow-machine': {
      const victim = victimOf(scene, fault);
      if (victim !== undefined) victim.cpuPerReadingMs = 2;
      sim.at(fault.durationMs, 'fast again', () => {
        if (victim !== undefined) victim.cpuPerReadingMs = 0.02;
      });
      return;
    }
    case 'clock-jump':
      job.process?.jumpWallClock((fault.choice - 0.5) * 7_200_000);
  }
}

/** The whole process stops, another takes over, and then the first one comes back. */
function replaceMaster({ sim, job }: Scene, { choice, durationMs }: Fault): void {
  const { process, workers } = job;
  if (process === undefined || process.node.state !== 'running') return;
  const nodes = [process.node, ...workers.map(({ node }) => node)];
  for (const node of nodes) node.freeze();
  sim.at(choice * durationMs, 'takes over', () => {
    if (!job.isOver && job.process === process) job.start();
  });
  sim.at(durationMs, 'thaws zombie', () => {
    for (const node of nodes) node.thaw();
  });
}
