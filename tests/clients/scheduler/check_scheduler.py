"""EventBridge Scheduler as boto3 and the AWS CLI see it: schedules, groups, tags, and that they fire.

Run against `taskferry dev`: `check_scheduler.py --endpoint-url URL`. Prints one line per check and a count; exits 1 if
a check failed.
"""

import datetime
import json
import os
import pathlib
import subprocess
import sys
import time
import uuid

import boto3
from botocore.config import Config

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from checks import check, command_line, equal, perform_all, refused  # noqa: E402

ROLE = "arn:aws:iam::000000000000:role/scheduler"
# A function that every `taskferry dev` has, and a payload that it takes and does nothing about.
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:s3"
PAYLOAD = '{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "check"}'
BUS = "arn:aws:events:us-east-1:000000000000:event-bus/default"
OFF = {"Mode": "OFF"}
PATIENCE = 30


def name():
    return f"check-{uuid.uuid4().hex[:12]}"


def target(**changes):
    return {"Arn": FUNCTION, "RoleArn": ROLE, "Input": PAYLOAD, **changes}


def create(scheduler, expression="rate(1 hour)", **changes):
    members = {"Name": name(), "ScheduleExpression": expression, "FlexibleTimeWindow": OFF, "Target": target()}
    members |= {"State": "DISABLED"} if "State" not in changes else {}
    members |= changes
    scheduler.create_schedule(**{key: value for key, value in members.items() if value is not None})
    return members["Name"]


def soon(seconds=1):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds + 1)
    return at.replace(microsecond=0)


def at(time, zone=datetime.timezone.utc):
    return f"at({time.astimezone(zone):%Y-%m-%dT%H:%M:%S})"


def eventually(what, ask):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {PATIENCE} s")


def runs(rule):
    command = [os.environ["TASKFERRY"], "runs", "list", "--json", "--limit", "1000", "--rule", rule]
    command += ["--state", os.environ["TASKFERRY_STATE"]]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@check
def a_schedule_is_created_and_shown(scheduler, **_):
    start = soon(3600)
    made = create(
        scheduler,
        "cron(0 3 ? * MON-FRI *)",
        Description="weekdays",
        ScheduleExpressionTimezone="Asia/Seoul",
        StartDate=start,
        EndDate=start + datetime.timedelta(days=1),
        FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15},
        ActionAfterCompletion="DELETE",
        Target=target(RetryPolicy={"MaximumRetryAttempts": 3}),
    )
    shown = scheduler.get_schedule(Name=made)
    equal(shown["Arn"], f"arn:aws:scheduler:us-east-1:000000000000:schedule/default/{made}")
    equal((shown["GroupName"], shown["State"]), ("default", "DISABLED"))
    equal(shown["ScheduleExpression"], "cron(0 3 ? * MON-FRI *)")
    equal(shown["ScheduleExpressionTimezone"], "Asia/Seoul")
    equal(shown["StartDate"], start)
    equal(shown["EndDate"], start + datetime.timedelta(days=1))
    equal(shown["FlexibleTimeWindow"], {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15})
    equal(shown["ActionAfterCompletion"], "DELETE")
    equal(shown["Target"]["Input"], PAYLOAD)
    equal(shown["Target"]["RetryPolicy"], {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 3})


@check
def a_name_is_given_once(scheduler, **_):
    made = create(scheduler)
    response = refused("ConflictException", create, scheduler=scheduler, Name=made)
    equal(response["ResponseMetadata"]["HTTPStatusCode"], 409)


@check
def an_update_replaces_what_there_was(scheduler, **_):
    made = create(scheduler, Description="first")
    before = scheduler.get_schedule(Name=made)
    scheduler.update_schedule(
        Name=made, ScheduleExpression="rate(2 hours)", FlexibleTimeWindow=OFF, Target=target(), State="DISABLED"
    )
    after = scheduler.get_schedule(Name=made)
    equal((after["ScheduleExpression"], after.get("Description")), ("rate(2 hours)", None))
    equal(after["CreationDate"], before["CreationDate"])


@check
def what_is_deleted_is_gone(scheduler, **_):
    made = create(scheduler)
    scheduler.delete_schedule(Name=made)
    response = refused("ResourceNotFoundException", scheduler.get_schedule, Name=made)
    equal(response["ResponseMetadata"]["HTTPStatusCode"], 404)
    refused("ResourceNotFoundException", scheduler.delete_schedule, Name=made)


@check
def a_client_token_makes_a_request_one(scheduler, **_):
    members = {"Name": name(), "ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": OFF, "Target": target()}
    members |= {"ClientToken": uuid.uuid4().hex, "State": "DISABLED"}
    first = scheduler.create_schedule(**members)
    equal(scheduler.create_schedule(**members)["ScheduleArn"], first["ScheduleArn"])
    refused("ConflictException", scheduler.create_schedule, **members | {"ScheduleExpression": "rate(2 hours)"})


@check
def what_is_not_right_is_refused(scheduler, **_):
    for changes in [
        {"expression": "cron(bad)"},
        {"expression": "cron(0 3 * * * *)"},
        {"expression": "cron(0 0 31 2 ? *)"},
        {"expression": "cron(0 0 1 1 ? 1999)"},
        {"KmsKeyArn": "alias/key"},
        {"expression": "rate(5)"},
        {"expression": "at(2027-01-31)"},
        {"expression": "at(2020-01-31T00:00:00)"},
        {"ScheduleExpressionTimezone": "Mars/Base"},
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}},
        {"StartDate": datetime.datetime(2020, 1, 1)},
        {"EndDate": datetime.datetime(2020, 1, 1)},
        {"Target": target(Arn="arn:aws:states:us-east-1:000000000000:stateMachine:x")},
        {"Target": target(Input="{")},
        {"Target": target(Arn=BUS)},
    ]:
        response = refused("ValidationException", create, scheduler=scheduler, **changes)
        equal(response["ResponseMetadata"]["HTTPStatusCode"], 400)
    refused("ResourceNotFoundException", create, scheduler=scheduler, GroupName="none")


@check
def lists_come_in_pages_and_by_filters(scheduler, **_):
    group = name()
    scheduler.create_schedule_group(Name=group)
    made = [create(scheduler, Name=f"p-{number}", GroupName=group) for number in range(5)]
    create(scheduler, Name="other", GroupName=group, State="ENABLED", expression="rate(365 days)", StartDate=soon(9999))
    pages = scheduler.get_paginator("list_schedules").paginate(GroupName=group, PaginationConfig={"PageSize": 2})
    pages = [[item["Name"] for item in page["Schedules"]] for page in pages]
    equal(pages, [["other", "p-0"], ["p-1", "p-2"], ["p-3", "p-4"]])
    listed = scheduler.list_schedules(GroupName=group, NamePrefix="p-")["Schedules"]
    equal([item["Name"] for item in listed], made)
    listed = scheduler.list_schedules(GroupName=group, State="ENABLED")["Schedules"]
    equal([item["Name"] for item in listed], ["other"])
    equal(listed[0]["Target"], {"Arn": FUNCTION})


@check
def a_group_goes_with_what_is_in_it(scheduler, **_):
    group = name()
    arn = scheduler.create_schedule_group(Name=group, Tags=[{"Key": "a", "Value": "1"}])["ScheduleGroupArn"]
    equal(scheduler.get_schedule_group(Name=group)["State"], "ACTIVE")
    scheduler.tag_resource(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    scheduler.untag_resource(ResourceArn=arn, TagKeys=["a"])
    equal(scheduler.list_tags_for_resource(ResourceArn=arn)["Tags"], [{"Key": "b", "Value": "2"}])
    refused("ConflictException", scheduler.create_schedule_group, Name=group)
    listed = scheduler.list_schedule_groups(NamePrefix=group)["ScheduleGroups"]
    equal([item["Arn"] for item in listed], [arn])
    made = create(scheduler, GroupName=group)
    scheduler.delete_schedule_group(Name=group)
    refused("ResourceNotFoundException", scheduler.get_schedule, Name=made, GroupName=group)
    refused("ValidationException", scheduler.delete_schedule_group, Name="default")


@check
def a_schedule_of_the_rules_file_is_shown_and_left_alone(scheduler, **_):
    shown = scheduler.get_schedule(GroupName="clients", Name="yearly")
    equal(shown["ScheduleExpression"], "cron(0 0 1 1 ? *)")
    refused("ConflictException", scheduler.delete_schedule, GroupName="clients", Name="yearly")
    refused("ConflictException", scheduler.delete_schedule_group, Name="clients")


@check
def one_time_fires_in_time_and_goes(scheduler, **_):
    order = name()
    detail = json.dumps({"id": order, "amount": 200, "code": 0, "time": "<aws.scheduler.scheduled-time>"})
    parameters = {"Source": "shop", "DetailType": "Order"}
    time_of_it = soon()
    seoul = datetime.timezone(datetime.timedelta(hours=9))
    made = create(
        scheduler,
        at(time_of_it, seoul),
        ScheduleExpressionTimezone="Asia/Seoul",
        State="ENABLED",
        ActionAfterCompletion="DELETE",
        Target=target(Arn=BUS, Input=detail, EventBridgeParameters=parameters),
    )
    before = {run["id"] for run in runs("order")}
    new = eventually("a run", lambda: [run for run in runs("order") if run["id"] not in before])
    created = datetime.datetime.fromisoformat(new[0]["createdAt"].replace("Z", "+00:00"))
    late = (created - time_of_it).total_seconds()
    if not 0 <= late < 5:
        raise AssertionError(f"{late} s late")
    refused("ResourceNotFoundException", scheduler.get_schedule, Name=made)


@check
def a_rate_starts_a_task_at_once(scheduler, ecs, **_):
    made = create(
        scheduler,
        "rate(1 day)",
        State="ENABLED",
        Target={
            "Arn": "arn:aws:ecs:us-east-1:000000000000:cluster/clients",
            "RoleArn": ROLE,
            "EcsParameters": {
                "TaskDefinitionArn": "shell",
                "LaunchType": "FARGATE",
                "NetworkConfiguration": {"awsvpcConfiguration": {"Subnets": ["subnet-1"]}},
            },
            "Input": json.dumps({"containerOverrides": [{"name": "main", "command": ["exit 0"]}]}),
        },
    )

    def tasks():
        listed = [
            arn
            for status in ["RUNNING", "STOPPED"]
            for arn in ecs.list_tasks(cluster="clients", desiredStatus=status)["taskArns"]
        ]
        described = ecs.describe_tasks(cluster="clients", tasks=listed)["tasks"] if listed else []
        return [task for task in described if task.get("startedBy") == f"chronos-schedule/{made}"]

    equal(len(eventually("a task", tasks)), 1)
    scheduler.delete_schedule(Name=made)


def messages(sqs, url):
    request = {"QueueUrl": url, "WaitTimeSeconds": 10, "MessageAttributeNames": ["All"]}
    return sqs.receive_message(**request).get("Messages", [])


@check
def a_queue_gets_the_input(scheduler, sqs, **_):
    url = sqs.create_queue(QueueName=name())["QueueUrl"]
    queue = f"arn:aws:sqs:us-east-1:000000000000:{url.rsplit('/', 1)[1]}"
    time_of_it = soon()
    made = create(
        scheduler,
        at(time_of_it),
        State="ENABLED",
        Target=target(Arn=queue, Input="<aws.scheduler.schedule-arn> <aws.scheduler.scheduled-time>"),
    )
    [message] = messages(sqs, url)
    arn = f"arn:aws:scheduler:us-east-1:000000000000:schedule/default/{made}"
    equal(message["Body"], f"{arn} {time_of_it:%Y-%m-%dT%H:%M:%SZ}")


@check
def a_fifo_queue_gets_the_input_in_its_group(scheduler, sqs, **_):
    url = sqs.create_queue(QueueName=f"{name()}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    queue = f"arn:aws:sqs:us-east-1:000000000000:{url.rsplit('/', 1)[1]}"
    refused("ValidationException", create, scheduler=scheduler, Target=target(Arn=queue))
    group = {"MessageGroupId": "group"}
    create(scheduler, at(soon()), State="ENABLED", Target=target(Arn=queue, SqsParameters=group))
    equal([message["Body"] for message in messages(sqs, url)], [PAYLOAD])


@check
def what_cannot_be_delivered_is_a_dead_letter(scheduler, sqs, **_):
    url = sqs.create_queue(QueueName=name())["QueueUrl"]
    queue = f"arn:aws:sqs:us-east-1:000000000000:{url.rsplit('/', 1)[1]}"
    nowhere = "arn:aws:sqs:us-east-1:000000000000:no-such-queue"
    letter = {"DeadLetterConfig": {"Arn": queue}, "RetryPolicy": {"MaximumRetryAttempts": 0}}
    made = create(scheduler, at(soon()), State="ENABLED", Target=target(Arn=nowhere, **letter))
    [message] = messages(sqs, url)
    equal(message["Body"], PAYLOAD)
    attributes = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    equal(attributes["SCHEDULE_ARN"].rsplit("/", 1)[1], made)
    equal(attributes["TARGET_ARN"], nowhere)
    equal((attributes["EXHAUSTED_RETRY_CONDITION"], attributes["RETRY_ATTEMPTS"]), ("MaximumRetryAttempts", "0"))


@check
def the_aws_cli_speaks_to_it(url, **_):
    def cli(*arguments):
        command = [pathlib.Path(sys.executable).parent / "aws", "--endpoint-url", url, "scheduler", *arguments]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return json.loads(answer) if answer.strip() else None

    made = name()
    cli(
        "create-schedule", "--name", made, "--schedule-expression", "rate(1 hour)", "--state", "DISABLED",
        "--flexible-time-window", "Mode=OFF", "--target", json.dumps(target()),
    )  # fmt: skip
    equal(cli("get-schedule", "--name", made)["ScheduleExpression"], "rate(1 hour)")
    listed = cli("list-schedules", "--name-prefix", made)["Schedules"]
    equal([item["Name"] for item in listed], [made])
    cli("delete-schedule", "--name", made)


@check
def a_target_may_be_named_in_another_account(scheduler, **_):
    for arn in ["arn:aws:lambda:us-east-1:123456789012:function:f", "arn:aws:ecs:us-east-1:123456789012:cluster/c"]:
        made = create(scheduler, Target={"Arn": arn, "RoleArn": ROLE} | ({"EcsParameters": {"TaskDefinitionArn": "t"}} if "ecs" in arn else {}))
        equal(scheduler.get_schedule(Name=made)["Target"]["Arn"], arn)
        scheduler.delete_schedule(Name=made)
    error = refused("ValidationException", scheduler.create_schedule, Name=name(), ScheduleExpression="rate(1 hour)",
                    FlexibleTimeWindow=OFF, Target=target(Arn="none"))
    equal(error["Error"]["Message"], "Provided Arn is not in correct format.")


@check
def dates_have_no_fraction_of_a_second(scheduler, **_):
    start = soon(3600)
    made = create(scheduler, StartDate=start + datetime.timedelta(milliseconds=250))
    equal(scheduler.get_schedule(Name=made)["StartDate"], start)
    scheduler.delete_schedule(Name=made)


if __name__ == "__main__":
    given = command_line(__doc__)
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.pop("AWS_PROFILE", None)
    config = Config(retries={"max_attempts": 1})
    client = {
        service: boto3.client(service, endpoint_url=given.endpoint_url, config=config) for service in ["scheduler", "ecs", "sqs"]
    }
    perform_all(given, lambda test: test(url=given.endpoint_url, **client))
