import {
  type Answer,
  type AnswerChannel,
  type GetRequest,
  type RequestChannel,
  type UpdateRequest,
} from './documents.js';

/** One participant's way to the service. */
export interface Link {
  readonly deviceId: string;
  /** False: a get is a bare question, without a body that could bear a token. */
  readonly hasGetBody: boolean;
  /** How the channel's address is written on this bus. */
  address(channel: RequestChannel | AnswerChannel): string;
  send(channel: 'update', request: UpdateRequest): Promise<void>;
  send(channel: 'get', request: GetRequest): Promise<void>;
  /** Begins to receive deltas, or goes on where it stopped; resolves when none can be missed any more. */
  connect(): Promise<void>;
  /** Stops to receive; what is sent meanwhile waits for the next `connect`. */
  disconnect(): Promise<void>;
  /**
   * The next matching message on the channel.
   *
   * @throws where none comes in time, in one line
   */
  receive(channel: AnswerChannel, what: string, matches: (answer: Answer) => boolean): Promise<Answer>;
  /** Fails everyone who waits. */
  fail(error: Error): void;
}

/** How long a message may take. Generous, since a consumer of a busy broker takes its time to join. */
export const MESSAGE_TIMEOUT_MS = 60_000;
