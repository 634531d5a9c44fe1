# SPDX-License-Identifier: Apache-2.0
"""A consumer in a group, run by test_groups.py with the Python that has its library.

    group_member.py CLIENT BOOTSTRAP GROUP TOPIC [--instance ID] [--strategy NAME] [--session MS]

Consumes, commits what it has printed, and says on standard output, a JSON list to a line, what happens:
["assigned", [0, 1]], ["revoked", [1]], ["record", partition, offset, "value"], ["committed", {"0": 17}]. It leaves the
group when its standard input ends.
"""

import argparse
import json
import select
import sys


def say(*what):
    print(json.dumps(what), flush=True)


def told_to_stop():
    return bool(select.select([sys.stdin], [], [], 0)[0]) and not sys.stdin.readline()


def confluent(args):
    import confluent_kafka as ck
    config = {"bootstrap.servers": args.bootstrap, "group.id": args.group, "enable.auto.commit": False,
              "auto.offset.reset": "earliest", "session.timeout.ms": args.session, "heartbeat.interval.ms": 200,
              "fetch.wait.max.ms": 100, "reconnect.backoff.max.ms": 200,
              "partition.assignment.strategy": args.strategy}
    if args.instance:
        config["group.instance.id"] = args.instance
    consumer = ck.Consumer(config)

    def changed(what):
        return lambda _, partitions: say(what, sorted(p.partition for p in partitions))
    consumer.subscribe([args.topic], on_assign=changed("assigned"), on_revoke=changed("revoked"),
                       on_lost=changed("lost"))
    while not told_to_stop():
        done = {}
        for message in consumer.consume(100, 0.1):
            if message.error():
                say("error", str(message.error()))
                continue
            say("record", message.partition(), message.offset(), message.value().decode())
            done[message.partition()] = message.offset() + 1
        if done:
            try:
                consumer.commit(offsets=[ck.TopicPartition(args.topic, p, o) for p, o in done.items()],
                                asynchronous=False)
                say("committed", done)
            except ck.KafkaException as e:
                say("error", str(e))
    consumer.close()


def kafka_python(args):
    import kafka
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=args.bootstrap, group_id=args.group, enable_auto_commit=False,
        auto_offset_reset="earliest", session_timeout_ms=args.session, heartbeat_interval_ms=200,
        fetch_max_wait_ms=100, reconnect_backoff_max_ms=200, retry_backoff_ms=50, max_poll_records=100)

    class Listener(kafka.ConsumerRebalanceListener):
        def on_partitions_assigned(self, assigned):
            say("assigned", sorted(p.partition for p in assigned))

        def on_partitions_revoked(self, revoked):
            say("revoked", sorted(p.partition for p in revoked))
    consumer.subscribe([args.topic], listener=Listener())
    while not told_to_stop():
        done = {}
        for partition, records in consumer.poll(timeout_ms=100).items():
            for r in records:
                say("record", partition.partition, r.offset, r.value.decode())
            done[partition] = kafka.OffsetAndMetadata(records[-1].offset + 1, "")
        if done:
            try:
                consumer.commit(done)
                say("committed", {p.partition: o.offset for p, o in done.items()})
            except kafka.errors.KafkaError as e:
                say("error", str(e))
    consumer.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("client", choices=("confluent", "kafka_python"))
    parser.add_argument("bootstrap")
    parser.add_argument("group")
    parser.add_argument("topic")
    parser.add_argument("--instance")
    parser.add_argument("--strategy", default="range")
    parser.add_argument("--session", type=int, default=30000)
    args = parser.parse_args()
    {"confluent": confluent, "kafka_python": kafka_python}[args.client](args)


main()
