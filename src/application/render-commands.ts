import { LRUCache } from 'lru-cache';
import { acceptedDocument, deletedDocument } from '../replica/documents.js';
import { type SectionChanged } from '../replica/events.js';
import { emptyReplica, type Replica } from '../replica/replica.js';
import { applyAndRespond } from '../replica/respond.js';
import { isForGood, type LogCommand, type LogDamage } from './log-commands.js';
import { Past } from './past.js';
import { type EventStore } from './ports/event-store.js';
import { estimateBytes } from './replica-cache.js';
import { type Replicas } from './replicas.js';

/** What the fleet's followers are told of; `broken`: that a command's outputs cannot be made, since its history is damaged. */
export const FLEET_KINDS = ['accepted', 'delta', 'documents', 'delete-accepted'] as const;
export type FleetKind = (typeof FLEET_KINDS)[number] | 'broken';

/** How much of each command is made. The later ones need the device's state, which costs a fold where it is not in memory. */
export enum Detail {
  Accepted,
  Delta,
  Documents,
}

export function detailOf(kinds: ReadonlySet<FleetKind>): Detail {
  if (kinds.has('documents')) return Detail.Documents;
  return kinds.has('delta') ? Detail.Delta : Detail.Accepted;
}

/** The last part of a command's outputs: whoever has it has them all. */
export const LAST_PART = 3;

export interface Rendered {
  /** 0: accepted, 1: delta, 2: documents. */
  readonly part: number;
  readonly kind: FleetKind;
  /** The device's own document, with `deviceId` before its members. */
  readonly document: string;
}

/**
 * Makes the outputs of commands as the log has them. What the device's state is needed for is made of a replica that is
 * folded along; it is kept between commands as far as there is room, and loaded from a snapshot otherwise.
 */
export class CommandRenderer {
  private readonly past: Past;
  private readonly kept: LRUCache<string, Replica>;

  /** @param cacheBytes the most that kept replicas may take, by estimate */
  constructor(
    store: EventStore,
    private readonly replicas: Pick<Replicas, 'start' | 'passed'>,
    cacheBytes: number,
  ) {
    this.past = new Past(store, replicas);
    this.kept = new LRUCache({ maxSize: Math.max(1, cacheBytes), sizeCalculation: estimateBytes });
  }

  /**
   * The outputs of one command. Of one whose device cannot be read: `broken` in their place.
   *
   * @param owner whose place in the log it is: another one's replicas are of another time
   *
   * Throws `EventStoreError` where it may be made later.
   */
  async render(owner: string, item: LogCommand | LogDamage, detail: Detail): Promise<Rendered[]> {
    if (item.kind === 'damaged') return [brokenOf(item.deviceId, item.reason)];
    const { deviceId, events } = item;
    if (detail === Detail.Accepted) {
      const [first] = events;
      const isDelete = first?.type === 'ReplicaDeleted';
      const document = isDelete ? deletedDocument(first) : acceptedDocument(events as SectionChanged[]);
      return [{ part: 0, kind: isDelete ? 'delete-accepted' : 'accepted', document: of(deviceId, document) }];
    }
    try {
      return await this.fold(owner, item, detail);
    } catch (error) {
      if (!isForGood(error)) throw error;
      return [brokenOf(deviceId, error.message)];
    }
  }

  private async fold(owner: string, command: LogCommand, detail: Detail): Promise<Rendered[]> {
    const { deviceId, events, origin, firstRevision } = command;
    const key = `${owner}/${deviceId}`;
    const replica = this.take(key, firstRevision - 1) ?? (await this.before(deviceId, firstRevision));
    const response = applyAndRespond(replica, events, origin, firstRevision, detail === Detail.Documents);
    this.kept.set(key, replica);
    const kind = events[0]?.type === 'ReplicaDeleted' ? 'delete-accepted' : 'accepted';
    const rendered: Rendered[] = [{ part: 0, kind, document: of(deviceId, response.accepted) }];
    const { delta, documents } = response;
    if (delta !== undefined) rendered.push({ part: 1, kind: 'delta', document: of(deviceId, delta) });
    if (typeof documents === 'string') {
      rendered.push({ part: 2, kind: 'documents', document: of(deviceId, documents) });
    }
    return rendered;
  }

  private take(key: string, revision: number): Replica | undefined {
    const replica = this.kept.get(key);
    // Changed in place from here on, and put back when that went well.
    this.kept.delete(key);
    return replica?.revision === revision ? replica : undefined;
  }

  private async before(deviceId: string, revision: number): Promise<Replica> {
    return revision === 0 ? emptyReplica(deviceId) : this.past.replicaAt(deviceId, revision - 1);
  }
}

function of(deviceId: string | null, document: string): string {
  return `{"deviceId":${JSON.stringify(deviceId)},${document.slice(1)}`;
}

function brokenOf(deviceId: string | null, reason: string): Rendered {
  return { part: 0, kind: 'broken', document: of(deviceId, JSON.stringify({ message: reason })) };
}
