/** So many publishes of QoS 2 may a client have that were taken and that it has not released. */
export const MAX_UNRELEASED_COUNT = 1000;

/** The numbers of publishes of QoS 2 that were taken, until their clients release them: by them it is known what comes again. */
export class Unreleased {
  private readonly sessions = new Map<string, Set<number>>();

  add(clientId: string, messageId: number): void {
    const numbers = this.sessions.get(clientId);
    if (numbers === undefined) this.sessions.set(clientId, new Set([messageId]));
    else numbers.add(messageId);
  }

  has(clientId: string, messageId: number): boolean {
    return this.sessions.get(clientId)?.has(messageId) === true;
  }

  hasRoom(clientId: string): boolean {
    return (this.sessions.get(clientId)?.size ?? 0) < MAX_UNRELEASED_COUNT;
  }

  /** @returns whether it was there */
  remove(clientId: string, messageId: number): boolean {
    const numbers = this.sessions.get(clientId);
    const wasThere = numbers?.delete(messageId) === true;
    if (numbers?.size === 0) this.sessions.delete(clientId);
    return wasThere;
  }

  forget(clientId: string): void {
    this.sessions.delete(clientId);
  }
}
