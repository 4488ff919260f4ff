import { EventStoreError } from '../../application/ports/event-store.js';

export function closedError(): EventStoreError {
  return new EventStoreError('closed', 'the event store is closed');
}

export function invalid(message: string): EventStoreError {
  return new EventStoreError('invalid', message);
}
