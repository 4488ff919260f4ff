/** What the demo's participants send and read; the whole contract is in README.md and docs/. */

export type Section = Record<string, unknown>;

export interface UpdateRequest {
  readonly state: { readonly reported?: Section; readonly desired?: Section };
  readonly clientToken: string;
}

export interface GetRequest {
  readonly clientToken: string;
}

/** Every document that comes back: accepted, rejected or delta. */
export interface Answer {
  readonly state?: {
    readonly reported?: Section;
    readonly desired?: Section;
    readonly delta?: Section;
  } & Section;
  readonly changed?: { readonly reported?: Section; readonly desired?: Section };
  readonly version?: number;
  readonly timestamp: number;
  readonly clientToken?: string;
  readonly code?: number;
  readonly message?: string;
}

export type RequestChannel = 'update' | 'get';
export type AnswerChannel =
  'update.accepted' | 'update.rejected' | 'update.delta' | 'get.accepted' | 'get.rejected';

export const ANSWER_CHANNELS: readonly AnswerChannel[] = [
  'update.accepted',
  'update.rejected',
  'update.delta',
  'get.accepted',
  'get.rejected',
];
