"""EventBridge's rules and targets as boto3 sees them: what a rule delivers to queues, topics, functions and buses.

Run against `taskferry dev`: `check_rules.py --endpoint-url URL`. Prints one line per check and a count; exits 1 if a check
failed. Rules, buses and queues have random names, and are deleted again.
"""

import json
import pathlib
import sys
import tempfile
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from checks import aws_cli, check, client, command_line, equal, perform_all, received, refused  # noqa: E402

ACCOUNT = "arn:aws:{}:us-east-1:000000000000:{}"


class World:
    """Clients, and what a check makes."""

    def __init__(self, endpoint):
        self.aws = aws_cli(endpoint)
        self.events, self.sqs, self.sns, self.s3, self.ecs = (
            client(endpoint, service) for service in ["events", "sqs", "sns", "s3", "ecs"]
        )
        # A source of the check's own: no other rule hears it.
        self.source = "check." + uuid.uuid4().hex[:12]
        self.rules, self.buses, self.queues, self.topics = [], [], [], []

    def name(self, end=""):
        return "check-" + uuid.uuid4().hex[:12] + end

    def queue(self, fifo=False):
        name = self.name(".fifo" if fifo else "")
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} if fifo else {}
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.queues.append(url)
        return url, ACCOUNT.format("sqs", name)

    def bus(self):
        name = self.name()
        self.events.create_event_bus(Name=name)
        self.buses.append(name)
        return name

    def rule(self, *targets, bus="default", **more):
        name = self.name()
        pattern = more.pop("EventPattern", json.dumps({"source": [self.source]}))
        self.events.put_rule(Name=name, EventBusName=bus, EventPattern=pattern, **more)
        self.rules.append((bus, name))
        if targets:
            targets = [{"Id": f"t{n}", **target} for n, target in enumerate(targets)]
            equal(self.events.put_targets(Rule=name, EventBusName=bus, Targets=targets)["FailedEntryCount"], 0)
        return name

    def send(self, detail, bus="default", **more):
        entry = {"Source": self.source, "DetailType": "Checked", "Detail": json.dumps(detail), "EventBusName": bus, **more}
        answer = self.events.put_events(Entries=[entry])
        equal(answer["FailedEntryCount"], 0)
        return answer["Entries"][0]["EventId"]

    def bodies(self, url):
        return [message["Body"] for message in received(self.sqs, url)]

    def clean(self):
        for bus, rule in self.rules:
            ids = [it["Id"] for it in self.events.list_targets_by_rule(Rule=rule, EventBusName=bus)["Targets"]]
            if ids:
                self.events.remove_targets(Rule=rule, EventBusName=bus, Ids=ids)
            self.events.delete_rule(Name=rule, EventBusName=bus)
        for bus in self.buses:
            self.events.delete_event_bus(Name=bus)
        for queue in self.queues:
            self.sqs.delete_queue(QueueUrl=queue)
        for topic in self.topics:
            self.sns.delete_topic(TopicArn=topic)


@check
def a_queue_gets_the_event_once(world):
    url, arn = world.queue()
    world.rule({"Arn": arn})
    event_id = world.send({"n": 1}, Resources=["arn:x"])
    world.events.put_events(Entries=[{"Source": "other", "DetailType": "x", "Detail": "{}"}])
    [event] = map(json.loads, world.bodies(url))
    equal(len(event.pop("time")), 20)
    equal(event, {
        "version": "0", "id": event_id, "detail-type": "Checked", "source": world.source, "account": "000000000000",
        "region": "us-east-1", "resources": ["arn:x"], "detail": {"n": 1},
    })


@check
def a_fifo_queue_gets_the_event_in_its_group(world):
    url, arn = world.queue(fifo=True)
    world.rule({"Arn": arn, "SqsParameters": {"MessageGroupId": "g"}})
    for n in range(3):
        world.send({"n": n})
    messages = received(world.sqs, url)
    equal([json.loads(it["Body"])["detail"]["n"] for it in messages], [0, 1, 2])
    equal({it["Attributes"]["MessageGroupId"] for it in messages}, {"g"})
    name = world.rule()
    refused("ValidationException", world.events.put_targets, Rule=name, Targets=[{"Id": "t", "Arn": arn}])


@check
def an_input_transformer_makes_what_the_target_gets(world):
    whole, part, constant, text, document = (world.queue() for _ in range(5))
    paths = {"n": "$.detail.n", "list": "$.detail.list", "type": "$.detail-type", "none": "$.detail.none"}
    template = '{"n": <n>, "list": <list>, "type": "<type>", "rule": <aws.events.rule-name>, "none": "<none>", "event": <aws.events.event.json>}'
    name = world.rule(
        {"Arn": whole[1]},
        {"Arn": part[1], "InputPath": "$.detail.list[1]"},
        {"Arn": constant[1], "Input": '{"a": 1}'},
        {"Arn": text[1], "InputTransformer": {"InputPathsMap": paths, "InputTemplate": '"<type> of <list> by <aws.events.rule-arn>"'}},
        {"Arn": document[1], "InputTransformer": {"InputPathsMap": paths, "InputTemplate": template}},
    )
    world.send({"n": 1.5, "list": ["a", "b"]})
    event = json.loads(world.bodies(whole[0])[0])
    equal(world.bodies(part[0]), ['"b"'])
    equal(world.bodies(constant[0]), ['{"a": 1}'])
    equal(world.bodies(text[0]), [f'"Checked of [a,b] by arn:aws:events:us-east-1:000000000000:rule/{name}"'])
    [made] = map(json.loads, world.bodies(document[0]))
    equal(made, {"n": 1.5, "list": ["a", "b"], "type": "Checked", "rule": name, "none": "", "event": event})


@check
def what_is_not_delivered_goes_to_the_dead_letters(world):
    url, dead_letters = world.queue()
    gone = ACCOUNT.format("sqs", world.name())
    name = world.rule({"Arn": gone, "DeadLetterConfig": {"Arn": dead_letters}, "RetryPolicy": {"MaximumRetryAttempts": 1}})
    event_id = world.send({})
    [message] = received(world.sqs, url)
    equal(json.loads(message["Body"])["id"], event_id)
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    equal(attributes.pop("ERROR_MESSAGE") != "", True)
    equal(attributes, {
        "RULE_ARN": f"arn:aws:events:us-east-1:000000000000:rule/{name}", "TARGET_ARN": gone, "ERROR_CODE": "NO_RESOURCE",
    })


@check
def an_event_goes_on_to_another_bus_and_to_a_topic(world):
    bus = world.bus()
    url, arn = world.queue()
    topic = world.sns.create_topic(Name=world.name())["TopicArn"]
    world.topics.append(topic)
    world.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    world.rule({"Arn": ACCOUNT.format("events", f"event-bus/{bus}")})
    world.rule({"Arn": topic}, bus=bus)
    event_id = world.send({})
    equal([json.loads(it)["id"] for it in world.bodies(url)], [event_id])


@check
def an_object_of_s3_is_an_event(world):
    url, arn = world.queue()
    bucket = world.name()
    world.s3.create_bucket(Bucket=bucket)
    pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": {"bucket": {"name": [bucket]}}}
    world.rule({"Arn": arn}, EventPattern=json.dumps(pattern))
    upload = world.s3.create_multipart_upload(Bucket=bucket, Key="a+b/ü.txt")["UploadId"]
    part = world.s3.upload_part(Bucket=bucket, Key="a+b/ü.txt", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"ETag": part, "PartNumber": 1}]}
    world.s3.complete_multipart_upload(Bucket=bucket, Key="a+b/ü.txt", UploadId=upload, MultipartUpload=parts)
    [event] = map(json.loads, world.bodies(url))
    equal((event["detail"]["object"]["key"], event["detail"]["reason"]), ("a+b/ü.txt", "CompleteMultipartUpload"))
    world.s3.delete_object(Bucket=bucket, Key="a+b/ü.txt")
    world.s3.delete_bucket(Bucket=bucket)


@check
def a_rule_out_of_force_delivers_nothing(world):
    url, arn = world.queue()
    name = world.rule({"Arn": arn}, State="DISABLED", Description="d")
    world.send({"n": 1})
    world.events.enable_rule(Name=name)
    world.send({"n": 2})
    world.events.disable_rule(Name=name)
    world.send({"n": 3})
    equal([json.loads(it)["detail"]["n"] for it in world.bodies(url)], [2])
    described = world.events.describe_rule(Name=name)
    equal((described["State"], described["Description"], described["CreatedBy"]), ("DISABLED", "d", "000000000000"))


@check
def the_rules_of_the_file_are_managed(world):
    rules = {it["Name"]: it for page in world.events.get_paginator("list_rules").paginate() for it in page["Rules"]}
    rule = rules["clients-order"]
    equal((rule["ManagedBy"], rule["State"]), ("taskferry", "ENABLED"))
    equal(json.loads(rule["EventPattern"])["source"], ["shop"])
    function = ACCOUNT.format("lambda", "function:eventbridge")
    equal(world.events.list_targets_by_rule(Rule="clients-order")["Targets"], [{"Id": "eventbridge", "Arn": function}])
    equal("clients-order" in world.events.list_rule_names_by_target(TargetArn=function)["RuleNames"], True)
    for call in [world.events.delete_rule, world.events.disable_rule]:
        refused("ManagedRuleException", call, Name="clients-order")
    refused("ManagedRuleException", world.events.remove_targets, Rule="clients-order", Ids=["eventbridge"])


@check
def lists_come_in_pages(world):
    bus = world.bus()
    names = sorted(world.rule(bus=bus) for _ in range(5))
    first = world.events.list_rules(EventBusName=bus, Limit=3)
    second = world.events.list_rules(EventBusName=bus, NextToken=first["NextToken"])
    equal([it["Name"] for it in first["Rules"] + second["Rules"]], names)
    equal("NextToken" in second, False)
    equal(world.events.list_rules(EventBusName=bus, NamePrefix=names[0])["Rules"][0]["Name"], names[0])


@check
def a_bus_lives_and_goes(world):
    bus = world.bus()
    refused("ResourceAlreadyExistsException", world.events.create_event_bus, Name=bus)
    described = world.events.describe_event_bus(Name=bus)
    equal(described["Arn"], ACCOUNT.format("events", f"event-bus/{bus}"))
    equal([it["Name"] for it in world.events.list_event_buses(NamePrefix=bus)["EventBuses"]], [bus])
    world.events.tag_resource(ResourceARN=described["Arn"], Tags=[{"Key": "k", "Value": "v"}])
    equal(world.events.list_tags_for_resource(ResourceARN=described["Arn"])["Tags"], [{"Key": "k", "Value": "v"}])
    name = world.rule(bus=bus)
    refused("ValidationException", world.events.delete_event_bus, Name=bus)
    world.events.delete_rule(Name=name, EventBusName=bus)
    world.rules.clear()
    refused("ValidationException", world.events.delete_event_bus, Name="default")


@check
def a_rule_fires_by_a_schedule_on_the_default_bus(world):
    name = world.name()
    world.events.put_rule(Name=name, ScheduleExpression="rate(1 minute)")
    world.rules.append(("default", name))
    equal(world.events.describe_rule(Name=name)["ScheduleExpression"], "rate(1 minute)")
    for bad in ["rate(1 minutes)", "cron(0 1 * * * *)", "at(2030-01-01T00:00:00)"]:
        message = refused("ValidationException", world.events.put_rule, Name=name, ScheduleExpression=bad)["Error"]["Message"]
        equal(message, "Parameter ScheduleExpression is not valid.")
    bus = world.bus()
    refused("ValidationException", world.events.put_rule, Name=name, ScheduleExpression="rate(1 minute)", EventBusName=bus)


@check
def the_aws_cli_makes_a_rule_that_delivers(world):
    url, arn = world.queue()
    name = world.name()
    world.rules.append(("default", name))
    pattern = json.dumps({"source": [world.source]})
    world.aws("events", "put-rule", "--name", name, "--event-pattern", pattern)
    world.aws("events", "put-targets", "--rule", name, "--targets", json.dumps([{"Id": "t", "Arn": arn, "InputPath": "$.detail"}]))
    entry = {"Source": world.source, "DetailType": "Checked", "Detail": '{"from": "the CLI"}'}
    equal(world.aws("events", "put-events", "--entries", json.dumps([entry]))["FailedEntryCount"], 0)
    equal(world.bodies(url), ['{"from": "the CLI"}'])
    equal([it["Name"] for it in world.aws("events", "list-rules", "--name-prefix", name)["Rules"]], [name])


@check
def limits_are_those_of_eventbridge(world):
    name = world.rule()
    targets = [{"Id": str(n), "Arn": ACCOUNT.format("sqs", "q")} for n in range(6)]
    refused("LimitExceededException", world.events.put_targets, Rule=name, Targets=targets)
    world.events.put_targets(Rule=name, Targets=targets[:5])
    refused("ValidationException", world.events.delete_rule, Name=name)
    refused("InvalidEventPatternException", world.events.put_rule, Name="x", EventPattern='{"source": "a"}')
    refused("ValidationException", world.events.put_rule, Name="x")
    refused("ValidationException", world.events.put_rule, Name="a b", EventPattern='{"source": ["a"]}')
    refused("ResourceNotFoundException", world.events.put_rule, Name="x", EventBusName="none", EventPattern='{"source": ["a"]}')
    refused("ResourceNotFoundException", world.events.put_targets, Rule="none", Targets=targets[:1])
    bad = {"Id": "t", "Arn": ACCOUNT.format("sqs", "q"), "InputPath": "$.a", "Input": "{}"}
    refused("ValidationException", world.events.put_targets, Rule=name, Targets=[bad])


@check
def a_target_in_another_account_is_named_and_gives_no_leave(world):
    url, dead = world.queue()
    elsewhere = "arn:aws:sqs:us-east-1:123456789012:elsewhere"
    name = world.rule({"Arn": elsewhere, "DeadLetterConfig": {"Arn": dead}})
    equal(world.events.list_rule_names_by_target(TargetArn=elsewhere)["RuleNames"], [name])
    world.send({"n": 1})
    letters = received(world.sqs, url)
    equal([letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] for letter in letters], ["NO_PERMISSIONS"])


@check
def a_bus_that_is_not_there_is_deleted(world):
    # https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DeleteEventBus.html has no error for it.
    world.events.delete_event_bus(Name=world.name())
    assert "CreationTime" in world.events.describe_event_bus()


@check
def the_caller_is_the_account(world):
    identity = client(world.events.meta.endpoint_url, "sts").get_caller_identity()
    equal((identity["Account"], identity["Arn"]), ("000000000000", "arn:aws:iam::000000000000:root"))


def tasks_of(world, rule):
    """The tasks that a rule has started, once there is one that has stopped."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        listed = world.ecs.list_tasks(cluster="clients", desiredStatus="STOPPED")["taskArns"]
        described = world.ecs.describe_tasks(cluster="clients", tasks=listed)["tasks"] if listed else []
        if found := [task for task in described if task.get("startedBy") == f"events-rule/{rule}"]:
            return found
        time.sleep(0.05)
    raise AssertionError(f"no task of {rule} has stopped")


@check
def a_cluster_runs_a_task(world):
    _, dead = world.queue()
    template = '{"containerOverrides": [{"name": "main", "command": ["exit <code>"]}]}'
    name = world.rule({
        "Arn": ACCOUNT.format("ecs", "cluster/clients"), "RoleArn": "arn:aws:iam::000000000000:role/events",
        "EcsParameters": {
            "TaskDefinitionArn": "shell", "TaskCount": 1, "LaunchType": "FARGATE",
            "NetworkConfiguration": {"awsvpcConfiguration": {"Subnets": ["subnet-1"], "AssignPublicIp": "DISABLED"}},
        },
        "InputTransformer": {"InputPathsMap": {"code": "$.detail.code"}, "InputTemplate": template},
        "DeadLetterConfig": {"Arn": dead},
    })
    world.send({"code": 7})
    [task] = tasks_of(world, name)
    [main] = [container for container in task["containers"] if container["name"] == "main"]
    equal(main["exitCode"], 7)


@check
def a_task_that_cannot_be_launched_is_a_dead_letter(world):
    url, dead = world.queue()
    target = {
        "Arn": ACCOUNT.format("ecs", "cluster/none"), "RoleArn": "arn:aws:iam::000000000000:role/events",
        "EcsParameters": {"TaskDefinitionArn": "shell"}, "DeadLetterConfig": {"Arn": dead},
    }
    name = world.rule(target)
    event_id = world.send({})
    [message] = world.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20, MessageAttributeNames=["All"])["Messages"]
    equal(json.loads(message["Body"])["id"], event_id)
    equal(message["MessageAttributes"]["ERROR_CODE"]["StringValue"], "NO_RESOURCE")
    for without in ["EcsParameters", "RoleArn"]:
        bad = {"Id": "t", **{member: value for member, value in target.items() if member != without}}
        refused("ValidationException", world.events.put_targets, Rule=name, Targets=[bad])


@check
def a_target_that_is_not_on_this_machine_is_kept_and_gets_nothing(world):
    url, dead = world.queue()
    elsewhere = ACCOUNT.format("logs", "log-group:/aws/events/all")
    name = world.rule({"Arn": elsewhere, "DeadLetterConfig": {"Arn": dead}})
    [target] = world.events.list_targets_by_rule(Rule=name)["Targets"]
    equal((target["Arn"], target["DeadLetterConfig"]), (elsewhere, {"Arn": dead}))
    world.send({})
    [letter] = received(world.sqs, url)
    equal(letter["MessageAttributes"]["ERROR_CODE"]["StringValue"], "NO_RESOURCE")


@check
def a_bus_keeps_its_policy_and_what_else_it_was_told(world):
    name = world.name()
    told = {
        "Description": "told", "KmsKeyIdentifier": "alias/events", "LogConfig": {"IncludeDetail": "FULL", "Level": "INFO"},
        "DeadLetterConfig": {"Arn": ACCOUNT.format("sqs", "dead")},
    }
    made = world.events.create_event_bus(Name=name, **told)
    world.buses.append(name)
    equal({member: made[member] for member in told}, told)
    refused("ResourceNotFoundException", world.events.remove_permission, EventBusName=name, StatementId="one")
    for who, sid in [("111111111111", "one"), ("*", "two")]:
        world.events.put_permission(EventBusName=name, Action="events:PutEvents", Principal=who, StatementId=sid)
    bus = world.events.describe_event_bus(Name=name)
    equal({member: bus[member] for member in told}, told)
    one, two = json.loads(bus["Policy"])["Statement"]
    equal((one["Sid"], one["Principal"]), ("one", {"AWS": "arn:aws:iam::111111111111:root"}))
    equal((two["Principal"], two["Resource"]), ("*", ACCOUNT.format("events", f"event-bus/{name}")))
    world.events.remove_permission(EventBusName=name, StatementId="one")
    refused("ResourceNotFoundException", world.events.remove_permission, EventBusName=name, StatementId="one")
    world.events.remove_permission(EventBusName=name, RemoveAllPermissions=True)
    equal("Policy" in world.events.describe_event_bus(Name=name), False)
    refused("ValidationException", world.events.put_permission, EventBusName=name, Action="events:PutRule", Principal="*", StatementId="a")
    refused("ValidationException", world.events.put_permission, EventBusName=name, Policy="{")
    refused("ResourceNotFoundException", world.events.put_permission, EventBusName="none", Policy="{}")


@check
def the_aws_cli_takes_its_json_from_files(world):
    url, arn = world.queue()
    name = world.name()
    world.rules.append(("default", name))
    transformer = {"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": '"<n> of <aws.events.rule-name>"'}

    with tempfile.TemporaryDirectory() as folder:
        def file(of, what):
            path = pathlib.Path(folder, of)
            path.write_text(json.dumps(what), encoding="utf-8")
            return f"file://{path}"

        pattern = json.dumps({"source": [world.source]})
        world.aws("events", "put-rule", "--cli-input-json", file("rule", {"Name": name, "EventPattern": pattern}))
        targets = [{"Id": "t", "Arn": arn, "InputTransformer": transformer}]
        world.aws("events", "put-targets", "--rule", name, "--targets", file("targets", targets))
        entry = {"Source": world.source, "DetailType": "Checked", "Detail": '{"n": 1}'}
        world.aws("events", "put-events", "--entries", file("entries", [entry]))
    equal(world.bodies(url), [f'"1 of {name}"'])


def main():
    given = command_line(__doc__)

    def perform(test):
        world = World(given.endpoint_url)
        try:
            test(world)
        finally:
            world.clean()

    perform_all(given, perform)


if __name__ == "__main__":
    main()
