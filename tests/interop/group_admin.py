# SPDX-License-Identifier: Apache-2.0
"""Looks after a group, run by test_groups.py with the Python that has the client's library; the answer is JSON.

    group_admin.py CLIENT BOOTSTRAP GROUP list | describe | offsets | delete
"""

import json
import sys


def confluent(bootstrap, group, what):
    import confluent_kafka as ck
    from confluent_kafka.admin import AdminClient
    admin = AdminClient({"bootstrap.servers": bootstrap})
    if what == "list":
        return [g.group_id for g in admin.list_consumer_groups(request_timeout=30).result().valid]
    if what == "describe":
        g = admin.describe_consumer_groups([group], request_timeout=30)[group].result()
        return {"state": g.state.name.capitalize(),
                "members": [sorted(p.partition for p in m.assignment.topic_partitions) for m in g.members]}
    if what == "offsets":
        asked = [ck.ConsumerGroupTopicPartitions(group)]
        found = admin.list_consumer_group_offsets(asked, request_timeout=30)[group].result()
        return {p.partition: p.offset for p in found.topic_partitions}
    try:
        admin.delete_consumer_groups([group], request_timeout=30)[group].result()
        return ""
    except ck.KafkaException as e:
        return e.args[0].name()


def kafka_python(bootstrap, group, what):
    from kafka.admin import KafkaAdminClient
    from kafka.coordinator.protocol import ConsumerProtocolMemberAssignment
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    if what == "list":
        return [name for name, _ in admin.list_consumer_groups()]
    if what == "describe":
        g, = admin.describe_consumer_groups([group])
        decoded = [m.member_assignment if hasattr(m.member_assignment, "assignment") else
                   ConsumerProtocolMemberAssignment.decode(m.member_assignment) for m in g.members]
        return {"state": g.state, "members": [sorted(p for _, ps in a.assignment for p in ps) for a in decoded]}
    if what == "offsets":
        return {p.partition: o.offset for p, o in admin.list_consumer_group_offsets(group).items()}
    (_, error), = admin.delete_consumer_groups([group])
    return "" if error.errno == 0 else error.__name__


print(json.dumps({"confluent": confluent, "kafka_python": kafka_python}[sys.argv[1]](*sys.argv[2:])))
