package replica;

import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Device state replicas as a Kafka Streams application: commands in, a KTable in RocksDB, accepted and delta out, on the
 * topics and with the documents of the service. One stream thread, at-least-once, all else as Kafka Streams has it.
 */
public final class StreamsApp {
  public static void main(String[] args) {
    String prefix = System.getenv("TOPIC_PREFIX");
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, prefix);
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("KAFKA_BROKERS"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, System.getenv("DATA_DIR"));
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
    settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");

    StreamsBuilder builder = new StreamsBuilder();
    KStream<String, Replica> changes =
        builder
            .stream(prefix + ".update", Consumed.with(Serdes.String(), Serdes.ByteArray()))
            .groupByKey()
            .aggregate(
                Replica::new,
                (deviceId, command, replica) -> replica.update(command, System.currentTimeMillis()),
                Materialized.<String, Replica, KeyValueStore<Bytes, byte[]>>as("replicas")
                    .withKeySerde(Serdes.String())
                    .withValueSerde(Replica.SERDE)
                    // Or a device's later update would swallow the outputs of an earlier one.
                    .withCachingDisabled())
            .toStream();
    Produced<String, byte[]> produced = Produced.with(Serdes.String(), Serdes.ByteArray());
    changes.mapValues(Replica::accepted).to(prefix + ".update.accepted", produced);
    changes
        .mapValues(Replica::delta)
        .filter((deviceId, delta) -> delta != null)
        .to(prefix + ".update.delta", produced);

    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.RUNNING) System.out.println("ready");
          if (now == KafkaStreams.State.ERROR) System.exit(1);
        });
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }
}
