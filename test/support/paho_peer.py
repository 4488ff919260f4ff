"""One MQTT client in Python: publishes what lines of JSON on standard input say, and tells by lines what comes."""

import json
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

options = json.loads(sys.argv[1])
is_5 = options["version"] == 5
telling = threading.Lock()


def tell(**event):
    with telling:
        print(json.dumps(event), flush=True)


def on_connect(client, userdata, flags, reason_code, properties):
    if reason_code != 0:
        tell(event="refused", reason=str(reason_code))
    elif options["topics"]:
        client.subscribe([(topic, options["qos"]) for topic in options["topics"]])
    else:
        tell(event="ready")


def on_message(client, userdata, message):
    tell(event="message", topic=message.topic, text=message.payload.decode(), retain=message.retain)


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=options["clientId"],
    protocol=mqtt.MQTTv5 if is_5 else mqtt.MQTTv311,
    clean_session=None if is_5 else options["clean"],
)
client.on_connect = on_connect
client.on_message = on_message
client.on_subscribe = lambda *_: tell(event="ready")
if is_5:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 0 if options["clean"] else 3600
    client.connect(options["host"], options["port"], clean_start=options["clean"], properties=properties)
else:
    client.connect(options["host"], options["port"])
client.loop_start()
for line in sys.stdin:
    publish = json.loads(line)
    client.publish(publish["topic"], publish["text"], qos=1).wait_for_publish()
    tell(event="acknowledged", number=publish["number"])
client.disconnect()
client.loop_stop()
