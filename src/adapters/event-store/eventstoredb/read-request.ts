import sharedMessages from '@eventstore/db-client/generated/shared_pb.js';
import streamMessages from '@eventstore/db-client/generated/streams_pb.js';

const { ReadReq } = streamMessages;
const { Options } = ReadReq;
const { Empty } = sharedMessages;

export type Direction = 'forwards' | 'backwards';
export type ReadRequest = InstanceType<typeof ReadReq>;
type ReadOptions = InstanceType<typeof Options>;

/** How many events of the log the server looks through between two checkpoints of a subscription. */
const CHECKPOINT_EVENTS = 1000;

export function streamRequest(
  stream: string,
  direction: Direction,
  from: number | undefined,
  maxCount: number,
): ReadRequest {
  const options = commonOptions(direction, maxCount);
  const place = new Options.StreamOptions();
  const identifier = new sharedMessages.StreamIdentifier();
  identifier.setStreamName(Buffer.from(stream));
  place.setStreamIdentifier(identifier);
  if (from !== undefined) place.setRevision(String(from));
  else if (direction === 'backwards') place.setEnd(new Empty());
  else place.setStart(new Empty());
  options.setStream(place);
  options.setNoFilter(new Empty());
  return requestOf(options);
}

/** @param prefix what the names of streams begin with; null: every stream, the system's too */
export function allRequest(
  direction: Direction,
  position: bigint | undefined,
  maxCount: number,
  prefix: string | null,
): ReadRequest {
  const options = commonOptions(direction, maxCount);
  options.setAll(placeInAll(direction, position));
  setFilter(options, prefix);
  return requestOf(options);
}

/** @param after exclusive; undefined: from the start of the log */
export function subscriptionRequest(after: bigint | undefined, prefix: string): ReadRequest {
  const options = commonOptions('forwards', null);
  options.setAll(placeInAll('forwards', after));
  options.setSubscription(new Options.SubscriptionOptions());
  setFilter(options, prefix);
  return requestOf(options);
}

function commonOptions(direction: Direction, maxCount: number | null): ReadOptions {
  const options = new Options();
  options.setReadDirection(
    direction === 'backwards' ? Options.ReadDirection.BACKWARDS : Options.ReadDirection.FORWARDS,
  );
  options.setResolveLinks(false);
  if (maxCount !== null) options.setCount(String(Math.min(maxCount, Number.MAX_SAFE_INTEGER)));
  const uuid = new Options.UUIDOption();
  uuid.setString(new Empty());
  options.setUuidOption(uuid);
  return options;
}

function placeInAll(
  direction: Direction,
  position: bigint | undefined,
): InstanceType<typeof Options.AllOptions> {
  const place = new Options.AllOptions();
  if (position !== undefined) {
    const at = new Options.Position();
    at.setCommitPosition(position.toString());
    at.setPreparePosition(position.toString());
    place.setPosition(at);
  } else if (direction === 'backwards') place.setEnd(new Empty());
  else place.setStart(new Empty());
  return place;
}

function setFilter(options: ReadOptions, prefix: string | null): void {
  if (prefix === null) {
    options.setNoFilter(new Empty());
    return;
  }
  const expression = new Options.FilterOptions.Expression();
  expression.setPrefixList([prefix]);
  const filter = new Options.FilterOptions();
  filter.setStreamIdentifier(expression);
  filter.setMax(CHECKPOINT_EVENTS);
  filter.setCheckpointintervalmultiplier(1);
  options.setFilter(filter);
}

function requestOf(options: ReadOptions): ReadRequest {
  const request = new ReadReq();
  request.setOptions(options);
  return request;
}
