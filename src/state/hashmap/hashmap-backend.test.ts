import { stateBackendContract } from '../../testing/state-backend-contract.ts';
import { HashMapStateBackend } from './hashmap-backend.ts';

stateBackendContract('hashmap', () => new HashMapStateBackend());
