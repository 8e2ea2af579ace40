"""Requests that no client of AWS's sends, over plain HTTP: to EventBridge, SQS, Scheduler and Lambda's mappings.

Run against `taskferry dev`: `check_hostile.py --endpoint-url URL`. Each must be answered by an exception of AWS's that
blames the client, in time, and must change nothing. Prints one line per check and a count; exits 1 if a check failed.
"""

import http.client
import json
import pathlib
import sys
import urllib.parse
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from checks import check, client, command_line, equal, perform_all  # noqa: E402

PATIENCE = 30
QUEUE = "arn:aws:sqs:us-east-1:000000000000:hostile"
CLUSTER = "arn:aws:ecs:us-east-1:000000000000:cluster/clients"
ROLE = "arn:aws:iam::000000000000:role/r"
GROUP = "/tags/arn:aws:scheduler:us-east-1:000000000000:schedule-group%2Fdefault"
DEEP = "[" * 100_000 + "]" * 100_000
DEEP_OBJECT = '{"a":' * 5_000 + "1" + "}" * 5_000

EVENTS = """PutEvents TestEventPattern CreateEventBus DeleteEventBus DescribeEventBus UpdateEventBus PutRule DescribeRule
DeleteRule EnableRule DisableRule ListRules ListRuleNamesByTarget PutTargets RemoveTargets ListTargetsByRule TagResource
UntagResource ListTagsForResource PutPermission RemovePermission ListArchives""".split()
SQS = """CreateQueue GetQueueUrl DeleteQueue GetQueueAttributes SetQueueAttributes PurgeQueue SendMessage SendMessageBatch
ReceiveMessage DeleteMessage DeleteMessageBatch ChangeMessageVisibility ChangeMessageVisibilityBatch StartMessageMoveTask
CancelMessageMoveTask ListMessageMoveTasks ListDeadLetterSourceQueues TagQueue UntagQueue ListQueueTags AddPermission
RemovePermission NoOperation""".split()
REST = [
    ("scheduler", "POST", "/schedules/hostile"), ("scheduler", "PUT", "/schedules/hostile"), ("scheduler", "POST", GROUP),
    ("lambda", "POST", "/2015-03-31/event-source-mappings/"), ("lambda", "PUT", "/2015-03-31/event-source-mappings/none"),
    ("lambda", "POST", "/2015-03-31/functions/none/invocations"),
]  # fmt: skip

# No JSON, or JSON that is no request. No member has its type.
BODIES = {
    "cut off": b'{"Entries": [{"Sou',
    "a list": b'["a", "b", "c", "d"]',
    "a text": b'"x"',
    "deep": DEEP.encode(),
    "UTF-16": '{"Name": "a"}'.encode("utf-16"),
    "bytes": bytes(range(256)),
    "types": json.dumps({
        "Name": 5, "Rule": [], "Entries": "x", "EventPattern": {}, "Targets": "x", "QueueName": {}, "QueueUrl": 7,
        "ResourceARN": 4, "TargetArn": {}, "Event": 5, "Ids": {}, "Limit": "x", "SourceArn": 1, "TaskHandle": 1, "Tags": "x",
        "EventBusName": 1, "Target": "x", "FunctionName": 1, "BatchSize": "x", "NextToken": 1, "NamePrefix": 1,
    }).encode(),
}  # fmt: skip


class World:
    def __init__(self, endpoint):
        self.address = urllib.parse.urlsplit(endpoint).netloc
        self.events, self.sqs, self.scheduler = (client(endpoint, service) for service in ["events", "sqs", "scheduler"])

    def request(self, service, method, path, body=None, **headers):
        signature = f"AWS4-HMAC-SHA256 Credential=x/20261121/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {"Authorization": signature, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers.get("x-amzn-errortype")
        finally:
            connection.close()

    def call(self, target, request):
        body = request if isinstance(request, (bytes, str)) else json.dumps(request)
        service, kind = ("sqs", "1.0") if target.startswith("AmazonSQS") else ("events", "1.1")
        headers = {"X-Amz-Target": target, "Content-Type": f"application/x-amz-json-{kind}"}
        return self.request(service, "POST", "/", body, **headers)

    def schedule(self, **changes):
        target = {"Arn": QUEUE, "RoleArn": ROLE, **changes.pop("Target", {})}
        asked = {"ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": target, **changes}
        return self.request("scheduler", "POST", f"/schedules/hostile-{uuid.uuid4().hex}", json.dumps(asked))

    def state(self):
        """What a refused request must leave as it is."""
        return (
            self.events.list_event_buses()["EventBuses"], self.events.list_rules()["Rules"],
            self.scheduler.list_schedules()["Schedules"], self.scheduler.list_schedule_groups()["ScheduleGroups"],
            self.sqs.list_queues().get("QueueUrls"),
        )  # fmt: skip


def refused(what, answer):
    status, body, exception = answer
    # SQS names it in the body alone.
    if not 400 <= status < 500 or not (exception or json.loads(body).get("__type")):
        raise AssertionError(f"{what}: {status} {exception} {body[:200]!r}")


def all_refused(world, answers):
    """Each of these (what, a call that asks for it) is refused, and changes nothing."""
    before = world.state()
    for what, ask in answers:
        refused(what, ask())
    equal(world.state(), before)


def bodies_refused(world, service, operations):
    all_refused(world, (
        (f"{operation} {what}", lambda: world.call(f"{service}.{operation}", body))
        for operation in operations for what, body in BODIES.items()
    ))  # fmt: skip


@check
def what_is_no_request_of_eventbridge_is_refused(world):
    bodies_refused(world, "AWSEvents", EVENTS)


@check
def what_is_no_request_of_sqs_is_refused(world):
    bodies_refused(world, "AmazonSQS", SQS)


@check
def what_is_no_request_of_scheduler_or_lambda_is_refused(world):
    all_refused(world, (
        (f"{method} {path} {what}", lambda: world.request(service, method, path, body))
        for service, method, path in REST for what, body in BODIES.items()
    ))  # fmt: skip


@check
def what_is_too_long_is_refused(world):
    text = "x" * (20 * 1024 * 1024)
    all_refused(world, [
        ("PutEvents", lambda: world.call("AWSEvents.PutEvents", {"Entries": [{"Source": text}]})),
        ("SendMessage", lambda: world.call("AmazonSQS.SendMessage", {"QueueUrl": "q", "MessageBody": text})),
        ("CreateSchedule", lambda: world.schedule(Description=text)),
    ])  # fmt: skip


@check
def a_rule_that_cannot_be_is_refused(world):
    pattern = json.dumps({"source": ["hostile"]})
    bad = [
        {"ScheduleExpression": expression}
        for expression in [
            "cron(0 0 31 2 ? *)", "cron(0 0 1 1 ? 1999)", "cron(0 0 1 1 ? 2300)", "rate(0 minutes)", "rate(-5 minutes)",
            "rate(1.5 hours)", "rate(9223372036854775807 days)", "rate(99999999999999999999 minutes)", "at(2100-01-01T00:00:00)",
        ]
    ]  # fmt: skip
    bad += [
        {"EventPattern": text}
        for text in [
            DEEP_OBJECT, '{"a":' + DEEP + "}", "[]", "{}", '{"a": [{"wildcard": "**"}]}', '{"a": [{"numeric": ["<", 1e999]}]}',
            json.dumps({"$or": [{"a": [n]} for n in range(100)], "x": {"$or": [{"b": [n]} for n in range(100)]}}),
        ]
    ]  # fmt: skip
    bad += [
        {"EventPattern": pattern, **more}
        for more in [
            {"RoleArn": ""}, {"RoleArn": "a" * 1601}, {"State": "on"}, {"Description": "a" * 513}, {"EventBusName": "a b"},
            {"Tags": [{"Key": "a", "Value": "1"}] * 2}, {"Tags": [{"Key": "aws:a", "Value": "1"}]}, {"Tags": [{"Key": "a"}]},
        ]
    ]  # fmt: skip
    all_refused(world, ((str(more)[:80], lambda: world.call("AWSEvents.PutRule", {"Name": "hostile", **more})) for more in bad))


@check
def a_target_that_cannot_be_is_refused(world):
    world.events.put_rule(Name="hostile-targets", EventPattern='{"source": ["hostile"]}')
    ecs = {"Arn": CLUSTER, "RoleArn": ROLE}
    bad = [None, "x", ["a"], {}, {"Id": "t"}, {"Arn": QUEUE}] + [
        {"Id": "t", "Arn": QUEUE, **more}
        for more in [
            {"Id": "a b"}, {"Id": "a" * 65}, {"Id": 5}, {"Arn": ""}, {"Arn": "none"}, {"Arn": QUEUE + "a" * 1700}, {"Arn": {}},
            {"Input": 5}, {"Input": ""}, {"Input": "a b"}, {"Input": '"' + "x" * 8200 + '"'}, {"InputPath": "a"},
            {"InputTransformer": {}}, {"InputTransformer": {"InputTemplate": ""}}, {"InputTransformer": {"InputTemplate": '"<a>"'}},
            {"InputTransformer": {"InputPathsMap": {"a b": "$.a"}, "InputTemplate": '"<a b>"'}}, {"SqsParameters": "x"},
            {"RetryPolicy": {"MaximumRetryAttempts": 186}}, {"RetryPolicy": {"MaximumRetryAttempts": -1}},
            {"RetryPolicy": {"MaximumEventAgeInSeconds": 59}}, {"DeadLetterConfig": {"Arn": "x"}}, {"Arn": QUEUE + ".fifo"},
            {"Arn": CLUSTER}, {**ecs, "EcsParameters": []}, {**ecs, "EcsParameters": {}},
            {**ecs, "EcsParameters": {"TaskDefinitionArn": "t", "TaskCount": 0}},
            {**ecs, "EcsParameters": {"TaskDefinitionArn": "t", "LaunchType": "BOAT"}},
        ]
    ]  # fmt: skip

    def put(target):
        # One that is right beside it is not put either.
        right = {"Id": "right", "Arn": QUEUE}
        return world.call("AWSEvents.PutTargets", {"Rule": "hostile-targets", "Targets": [right, target]})

    all_refused(world, ((str(target)[:80], lambda: put(target)) for target in bad))
    equal(world.events.list_targets_by_rule(Rule="hostile-targets")["Targets"], [])
    world.events.delete_rule(Name="hostile-targets")


@check
def an_event_that_cannot_be_fails_alone(world):
    right = {"Source": "hostile", "DetailType": "d", "Detail": "{}"}
    bad = [
        {"Time": 1e300}, {"Time": -1e300}, {"Time": 253402300800}, {"Time": -377705116800}, {"Detail": "[]"}, {"Detail": "{} x"},
        {"Detail": DEEP_OBJECT}, {"Detail": '{"a":' + DEEP + "}"}, {"Detail": ""}, {"Source": ""}, {"Source": "aws.s3"},
    ]  # fmt: skip
    for more in bad:
        status, body, _ = world.call("AWSEvents.PutEvents", {"Entries": [right, {**right, **more}]})
        answer = json.loads(body)
        equal((status, answer["FailedEntryCount"], "EventId" in answer["Entries"][0]), (200, 1, True))
    for entry in [None, [], ["s", "d"], [None, "hostile", None, "d", "{}"], {"Time": "NaN"}, {"Resources": [None]}]:
        refused(str(entry), world.call("AWSEvents.PutEvents", {"Entries": [entry]}))


@check
def a_schedule_that_cannot_be_is_refused(world):
    bad = [
        {"ScheduleExpression": expression}
        for expression in [
            "cron(0 0 31 2 ? *)", "cron(0 0 1 1 ? 1999)", "at(2001-01-01T00:00:00)", "at(9999-12-31T23:59:59)",
            "at(10000-01-01T00:00:00)", "at(-0001-01-01T00:00:00)", "at(2100-02-30T00:00:00)", "rate(0 minutes)",
            "rate(4294967296 days)", "rate(9223372036854775807 days)", "x" * 257,
        ]
    ] + [
        {"ScheduleExpressionTimezone": zone} for zone in ["Mars/Base", "../../etc/passwd", "", "EST5EDT,M3.2.0,M11.1.0", "x" * 51]
    ] + [
        {"StartDate": 1e300}, {"StartDate": -1e300}, {"EndDate": 1e300}, {"EndDate": -5}, {"EndDate": "2100-01-01"},
        {"StartDate": 4102444800, "EndDate": 4102444700}, {"State": "x"}, {"ClientToken": "a b"}, {"ClientToken": 5},
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1441}}, {"KmsKeyArn": "x"},
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1.5}}, {"ActionAfterCompletion": "x"},
        {"Target": {"Input": ""}}, {"Target": {"Input": 5}}, {"Target": {"RoleArn": "x"}}, {"Target": {"Arn": "x"}},
        {"Target": {"Arn": CLUSTER, "EcsParameters": {"TaskDefinitionArn": "t", "TaskCount": 11}}}, {"GroupName": "a b"},
    ]  # fmt: skip
    all_refused(world, ((str(more)[:80], lambda: world.schedule(**more)) for more in bad))


@check
def what_scheduler_is_asked_in_a_path_or_query_is_checked(world):
    bad = [("POST", f"/schedules/{name}") for name in ["a%20b", "a" * 65, "%ff", "a%00b", ""]]
    bad += [("GET", f"/schedules?{query}") for query in ["MaxResults=0", "MaxResults=101", "MaxResults=x", "NextToken=x", "State=x", "NamePrefix="]]
    bad += [("PATCH", "/schedules"), ("POST", "/schedule-groups"), ("GET", "/tags"), ("GET", "/tags/x"), ("DELETE", GROUP)]
    bad += [("DELETE", "/schedule-groups/default"), ("GET", "/schedules/x/y/z")]
    all_refused(world, ((f"{method} {path}", lambda: world.request("scheduler", method, path, "{}")) for method, path in bad))
    groups = [{"Tags": "x"}, {"ClientToken": 5}, {"Tags": [5]}, {"Tags": [{"Key": "aws:a", "Value": "b"}]}]
    all_refused(world, (
        (str(asked), lambda: world.request("scheduler", "POST", "/schedule-groups/hostile", json.dumps(asked))) for asked in groups
    ))  # fmt: skip


if __name__ == "__main__":
    given = command_line(__doc__)
    world = World(given.endpoint_url)
    perform_all(given, lambda test: test(world))
