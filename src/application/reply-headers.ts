/** Headers of request and reply over Kafka, as Nest's (and Spring's) clients know them. */
export const REPLY_TOPIC = 'kafka_replyTopic';
export const REPLY_PARTITION = 'kafka_replyPartition';
export const CORRELATION_ID = 'kafka_correlationId';
/** Present on the answer to a command that was refused. */
export const NEST_ERROR = 'kafka_nest-err';

/** Headers that come back, as they were sent, on every output that a command caused. */
export const ECHOED = ['correlation-id', 'traceparent'] as const;
