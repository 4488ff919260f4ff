import { type Origin } from './events.js';
import { type JsonObject } from './json.js';

/** The sections of an update request; null removes a section. */
export interface RequestedState {
  readonly reported?: JsonObject | null;
  readonly desired?: JsonObject | null;
}

/** Sections as `JSON.stringify` writes them, in ASCII alone: a byte for each character. */
export interface SectionTexts {
  reported?: string;
  desired?: string;
}

export interface UpdateCommand {
  readonly kind: 'update';
  readonly origin: Origin;
  /** Null removes both sections. */
  readonly state: RequestedState | null;
  /** Those of its sections whose text is known; they need not be written again. */
  readonly texts?: SectionTexts;
  /** The version that the replica must have; absent: not checked. */
  readonly version?: number;
  /** True: the replica must exist, at whatever version (`If-Match: *`). */
  readonly mustExist?: boolean;
  readonly clientToken?: string;
}

export interface DeleteCommand {
  readonly kind: 'delete';
  readonly origin: Origin;
  readonly version?: number;
  readonly mustExist?: boolean;
  readonly clientToken?: string;
}

export type Command = UpdateCommand | DeleteCommand;

/** Why a command is not accepted; the code is an HTTP status. */
export interface Refusal {
  readonly code: number;
  readonly message: string;
}

export const refusals = {
  notFound: (deviceId: string): Refusal => ({
    code: 404,
    message: `No state exists for device: '${deviceId}'`,
  }),
  illegalDeviceId: {
    code: 400,
    message: 'Illegal deviceId: 1 to 128 of [A-Za-z0-9:._-], not . or ..',
  } satisfies Refusal,
  versionConflict: { code: 409, message: 'Version conflict' } satisfies Refusal,
  messageIdReused: (id: string): Refusal => ({
    code: 409,
    message: `Message id was used before with another body: '${id}'`,
  }),
  stateTooLarge: (bytes: number, limit: number): Refusal => ({
    code: 413,
    message: `The state would be ${bytes} bytes; maximum is ${limit}`,
  }),
};
