/** Kafka's error codes as far as this connector decides by them, and what they ask for. */

export const KafkaError = {
  NONE: 0,
  UNKNOWN: -1,
  OFFSET_OUT_OF_RANGE: 1,
  CORRUPT_MESSAGE: 2,
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  LEADER_NOT_AVAILABLE: 5,
  NOT_LEADER_OR_FOLLOWER: 6,
  REQUEST_TIMED_OUT: 7,
  MESSAGE_TOO_LARGE: 10,
  NETWORK_EXCEPTION: 13,
  COORDINATOR_LOAD_IN_PROGRESS: 14,
  COORDINATOR_NOT_AVAILABLE: 15,
  NOT_COORDINATOR: 16,
  RECORD_LIST_TOO_LARGE: 18,
  NOT_ENOUGH_REPLICAS: 19,
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: 20,
  TOPIC_AUTHORIZATION_FAILED: 29,
  GROUP_AUTHORIZATION_FAILED: 30,
  CLUSTER_AUTHORIZATION_FAILED: 31,
  INVALID_TIMESTAMP: 32,
  UNSUPPORTED_VERSION: 35,
  OUT_OF_ORDER_SEQUENCE_NUMBER: 45,
  DUPLICATE_SEQUENCE_NUMBER: 46,
  INVALID_PRODUCER_EPOCH: 47,
  INVALID_TXN_STATE: 48,
  INVALID_PRODUCER_ID_MAPPING: 49,
  INVALID_TRANSACTION_TIMEOUT: 50,
  CONCURRENT_TRANSACTIONS: 51,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 53,
  OPERATION_NOT_ATTEMPTED: 55,
  KAFKA_STORAGE_ERROR: 56,
  UNKNOWN_PRODUCER_ID: 59,
  FENCED_LEADER_EPOCH: 74,
  UNKNOWN_LEADER_EPOCH: 75,
  OFFSET_NOT_AVAILABLE: 78,
  INVALID_RECORD: 87,
  UNSTABLE_OFFSET_COMMIT: 88,
  THROTTLING_QUOTA_EXCEEDED: 89,
  PRODUCER_FENCED: 90,
  UNKNOWN_TOPIC_ID: 100,
  INCONSISTENT_TOPIC_ID: 103,
  TRANSACTIONAL_ID_NOT_FOUND: 105,
  TRANSACTION_ABORTABLE: 120,
} as const;

const NAMES = new Map<number, string>(
  Object.entries(KafkaError).map(([name, code]) => [code, name]),
);

/** The name in Kafka's own list, or the number. */
export const errorName = (code: number): string => NAMES.get(code) ?? `error ${code}`;

/** The leader has moved or is not there: ask for metadata and send again. */
const STALE_LEADER: ReadonlySet<number> = new Set([
  KafkaError.UNKNOWN_TOPIC_OR_PARTITION,
  KafkaError.LEADER_NOT_AVAILABLE,
  KafkaError.NOT_LEADER_OR_FOLLOWER,
  KafkaError.FENCED_LEADER_EPOCH,
  KafkaError.UNKNOWN_LEADER_EPOCH,
  KafkaError.KAFKA_STORAGE_ERROR,
]);

/** The coordinator has moved or is loading: find it and send again. */
const STALE_COORDINATOR: ReadonlySet<number> = new Set([
  KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
  KafkaError.COORDINATOR_NOT_AVAILABLE,
  KafkaError.NOT_COORDINATOR,
]);

const TRANSIENT: ReadonlySet<number> = new Set([
  ...STALE_LEADER,
  ...STALE_COORDINATOR,
  KafkaError.REQUEST_TIMED_OUT,
  KafkaError.NETWORK_EXCEPTION,
  KafkaError.NOT_ENOUGH_REPLICAS,
  KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
  KafkaError.CONCURRENT_TRANSACTIONS,
  KafkaError.OFFSET_NOT_AVAILABLE,
  KafkaError.UNSTABLE_OFFSET_COMMIT,
  KafkaError.THROTTLING_QUOTA_EXCEEDED,
]);

/** The producer's identity is no longer the one the broker knows. */
const FENCED: ReadonlySet<number> = new Set([
  KafkaError.INVALID_PRODUCER_EPOCH,
  KafkaError.PRODUCER_FENCED,
  KafkaError.INVALID_PRODUCER_ID_MAPPING,
]);

const NOT_ALLOWED: ReadonlySet<number> = new Set([
  KafkaError.TOPIC_AUTHORIZATION_FAILED,
  KafkaError.GROUP_AUTHORIZATION_FAILED,
  KafkaError.CLUSTER_AUTHORIZATION_FAILED,
  KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
]);

export const isStaleLeader = (code: number): boolean => STALE_LEADER.has(code);
export const isStaleCoordinator = (code: number): boolean => STALE_COORDINATOR.has(code);
/** Worth sending again, later, as it is. */
export const isTransient = (code: number): boolean => TRANSIENT.has(code);
export const isFenced = (code: number): boolean => FENCED.has(code);
export const isNotAllowed = (code: number): boolean => NOT_ALLOWED.has(code);
