import { faultyEventStoreDb } from '../support/run-store.js';
import { serviceOnKafka } from './kafka.suite.js';

serviceOnKafka('the service on Kafka and EventStoreDB with its faults', faultyEventStoreDb);
