package replica;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Iterator;
import java.util.Map;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** One device's replica, changed in place, and what its last update sends out, which is not stored. */
final class Replica {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String[] SECTIONS = {"reported", "desired"};

  static final Serde<Replica> SERDE =
      Serdes.serdeFrom(
          (topic, replica) -> replica == null ? null : bytes(replica.document),
          (topic, bytes) -> bytes == null ? null : new Replica(parse(bytes)));

  /** version, timestamp, and for each section its values and `…Meta`: when each was set, in the same shape. */
  private final ObjectNode document;
  private byte[] accepted;
  private byte[] delta;

  Replica() {
    this(JSON.createObjectNode().put("version", 0).put("timestamp", 0));
    for (String name : SECTIONS) {
      document.putObject(name);
      document.putObject(name + "Meta");
    }
  }

  private Replica(ObjectNode document) {
    this.document = document;
  }

  byte[] accepted() {
    return accepted;
  }

  /** Null: none is sent. */
  byte[] delta() {
    return delta;
  }

  Replica update(byte[] command, long now) {
    ObjectNode request = parse(command);
    long timestamp = Math.max(now, document.get("timestamp").longValue());
    long version = document.get("version").longValue() + 1;
    document.put("version", version).put("timestamp", timestamp);
    ObjectNode state = JSON.createObjectNode();
    ObjectNode metadata = JSON.createObjectNode();
    ObjectNode changed = JSON.createObjectNode();
    for (String name : SECTIONS) {
      if (!(request.get("state").get(name) instanceof ObjectNode patch)) continue;
      ObjectNode change = merge(section(name), section(name + "Meta"), patch, timestamp);
      if (!change.isEmpty()) changed.set(name, change);
      state.set(name, patch);
      metadata.set(name, stamped(patch, timestamp));
    }
    ObjectNode answer = JSON.createObjectNode();
    answer.set("state", state);
    answer.set("metadata", metadata);
    accepted = bytes(end(answer, version, timestamp, request));
    ObjectNode difference = difference(section("desired"), section("reported"));
    delta = null;
    if (!difference.isEmpty() || !changed.isEmpty()) {
      ObjectNode message = JSON.createObjectNode();
      message.set("state", difference);
      message.set("changed", changed);
      message.set("metadata", metadataOf(difference, section("desiredMeta")));
      delta = bytes(end(message, version, timestamp, request));
    }
    return this;
  }

  private ObjectNode section(String name) {
    return (ObjectNode) document.get(name);
  }

  private static ObjectNode end(ObjectNode answer, long version, long timestamp, ObjectNode request) {
    answer.put("version", version).put("timestamp", timestamp);
    if (request.has("clientToken")) answer.set("clientToken", request.get("clientToken"));
    return answer;
  }

  /** RFC 7396, in place. Returns what really changed. */
  private static ObjectNode merge(ObjectNode target, ObjectNode meta, ObjectNode patch, long timestamp) {
    ObjectNode change = JSON.createObjectNode();
    for (Map.Entry<String, JsonNode> entry : patch.properties()) {
      String key = entry.getKey();
      JsonNode next = entry.getValue();
      JsonNode previous = target.get(key);
      if (next.isNull()) {
        if (previous == null) continue;
        target.remove(key);
        meta.remove(key);
        change.set(key, next);
      } else if (next instanceof ObjectNode nextObject) {
        boolean merges = previous instanceof ObjectNode;
        ObjectNode inner = merges ? (ObjectNode) previous : target.putObject(key);
        ObjectNode innerMeta = merges ? (ObjectNode) meta.get(key) : meta.putObject(key);
        ObjectNode innerChange = merge(inner, innerMeta, nextObject, timestamp);
        if (!merges || !innerChange.isEmpty()) change.set(key, innerChange);
      } else {
        meta.put(key, timestamp);
        if (next.equals(previous)) continue;
        target.set(key, next);
        change.set(key, next);
      }
    }
    return change;
  }

  /** The desired values that are missing or different in reported. */
  private static ObjectNode difference(ObjectNode desired, ObjectNode reported) {
    ObjectNode delta = JSON.createObjectNode();
    for (Map.Entry<String, JsonNode> entry : desired.properties()) {
      JsonNode actual = reported.get(entry.getKey());
      if (entry.getValue() instanceof ObjectNode wanted && actual instanceof ObjectNode object) {
        ObjectNode inner = difference(wanted, object);
        if (!inner.isEmpty()) delta.set(entry.getKey(), inner);
      } else if (!entry.getValue().equals(actual)) {
        delta.set(entry.getKey(), entry.getValue());
      }
    }
    return delta;
  }

  private static JsonNode metadataOf(JsonNode value, JsonNode meta) {
    if (meta.isNumber()) return stamped(value, meta.longValue());
    ObjectNode node = JSON.createObjectNode();
    for (Map.Entry<String, JsonNode> entry : value.properties())
      node.set(entry.getKey(), metadataOf(entry.getValue(), meta.get(entry.getKey())));
    return node;
  }

  /** A value's shape with the time at each leaf. */
  private static JsonNode stamped(JsonNode value, long timestamp) {
    if (value instanceof ObjectNode object) {
      ObjectNode node = JSON.createObjectNode();
      for (Map.Entry<String, JsonNode> entry : object.properties())
        node.set(entry.getKey(), stamped(entry.getValue(), timestamp));
      return node;
    }
    if (value.isArray()) {
      ArrayNode node = JSON.createArrayNode();
      for (Iterator<JsonNode> each = value.elements(); each.hasNext(); )
        node.add(stamped(each.next(), timestamp));
      return node;
    }
    return JSON.createObjectNode().put("timestamp", timestamp);
  }

  private static byte[] bytes(JsonNode node) {
    try {
      return JSON.writeValueAsBytes(node);
    } catch (JsonProcessingException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static ObjectNode parse(byte[] bytes) {
    try {
      return (ObjectNode) JSON.readTree(bytes);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
