/** The test kit for users: `millrace/testing`. */
export {
  checkExactlyOnce,
  checkKeyOrder,
  checkSameResults,
  describeViolations,
  type Violation,
} from './checkers.ts';
export {
  collectSink,
  type CollectSinkOptions,
  CollectTarget,
  type CommittedPart,
  type TargetLink,
} from './collect-sink.ts';
export { PipelineHarness, type PipelineHarnessOptions } from './pipeline-harness.ts';
export { SeededRandom } from './seeded-random.ts';
export { SimJob, type SimJobOptions } from './sim-job.ts';
export { CALM_NETWORK, type NetworkFaults, SimNetwork } from './sim-network.ts';
export { SimNode } from './sim-node.ts';
export { type RunOptions, type RunOutcome, SimScheduler } from './sim-scheduler.ts';
export { SimBucket } from './sim-store.ts';
export { CALM_STORE, type StoreFaults } from './sim-store-faults.ts';
export { SimThreads, type SimWorker, type WorkerEntry } from './sim-threads.ts';
export { SIM_EPOCH_MS, SimWorld } from './sim-world.ts';
export { Simulation, type SimulationOptions } from './simulation.ts';
export { type PushOptions, TestSource, type TestSourceOptions } from './test-source.ts';
export { objectStoreContract } from './object-store-contract.ts';
