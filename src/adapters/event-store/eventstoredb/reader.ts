import type { ClientReadableStream } from '@grpc/grpc-js';
import streamMessages from '@eventstore/db-client/generated/streams_pb.js';
import type { Connection } from './connection.js';
import type { ReadRequest } from './read-request.js';
import type { ReadAnswer } from './recorded.js';

const READ = '/event_store.client.streams.Streams/Read';

/** An open Read call. */
export interface Reading {
  /** The answers in their order; throws what the call failed with, and not before the answers that came earlier. */
  readonly answers: AsyncIterable<ReadAnswer>;
  /** Ends the call; its answers end, or throw. Idempotent. */
  cancel(): void;
}

/**
 * Opens a Read call. Answers are taken from the network as the consumer asks for them: the transport holds a
 * bounded number, and the server waits.
 *
 * @param deadline when the call is given up; default never
 * @param firstAnswerMs after so long without a first answer the call fails; default never
 */
export async function openRead(
  connection: Connection,
  request: ReadRequest,
  { deadline, firstAnswerMs }: { deadline?: Date; firstAnswerMs?: number } = {},
): Promise<Reading> {
  const { call, client } = await openCall(connection, request, deadline);
  let failure: { readonly error: unknown } | undefined;
  // An error may come before the consumer's first pull, which would then see an end like any other.
  call.once('error', (error: unknown) => (failure ??= { error }));
  let isCancelled = false;
  let timer: NodeJS.Timeout | undefined;
  if (firstAnswerMs !== undefined) {
    timer = setTimeout(() => {
      failure ??= { error: new Error(`no answer to a read within ${firstAnswerMs} ms`) };
      call.cancel();
    }, firstAnswerMs);
  }

  async function* answers(): AsyncGenerator<ReadAnswer> {
    try {
      for await (const answer of call as AsyncIterable<ReadAnswer>) {
        if (timer !== undefined) clearTimeout(timer);
        timer = undefined;
        connection.answered();
        yield answer;
      }
    } catch (error) {
      failure ??= { error };
    } finally {
      clearTimeout(timer);
      call.cancel();
    }
    if (failure === undefined) return;
    if (!isCancelled) await connection.failed(failure.error, client);
    throw failure.error;
  }
  const cancel = (): void => {
    isCancelled = true;
    call.cancel();
  };
  return { answers: answers(), cancel };
}

async function openCall(connection: Connection, request: ReadRequest, deadline: Date | undefined) {
  try {
    return await connection.open<ClientReadableStream<ReadAnswer>>(
      (grpc, metadata, options) =>
        grpc.makeServerStreamRequest<ReadRequest, ReadAnswer>(
          READ,
          (message) => Buffer.from(message.serializeBinary()),
          (bytes) => streamMessages.ReadResp.deserializeBinary(bytes),
          request,
          metadata,
          options,
        ),
      deadline,
    );
  } catch (error) {
    await connection.failed(error);
    throw error;
  }
}
