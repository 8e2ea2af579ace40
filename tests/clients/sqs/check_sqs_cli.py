"""SQS as the AWS CLI sees it: a queue's life, batches, a FIFO queue, dead letters, and a mapping to a function.

usage: check_sqs_cli.py --endpoint-url URL [--aws PROGRAM]

Prints a line per check and a sum at the end; exits 1 if a check failed.
"""

import json
import os
import pathlib
import subprocess
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from checks import check, command_line, equal, perform_all  # noqa: E402


class World:
    """The CLI, and queues of a check's own."""

    def __init__(self, endpoint, program):
        self.program = program
        self.endpoint = endpoint
        self.environment = {
            **os.environ, "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "credentials",
            "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull, "AWS_MAX_ATTEMPTS": "1",
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_PAGER": "",
        }

    def aws(self, service, operation, *arguments, fails=False):
        # Named for each call: of SQS it would go to AWS otherwise.
        command = [self.program, service, operation, "--endpoint-url", self.endpoint, "--output", "json", *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, capture_output=True)
        assert (done.returncode != 0) == fails, f"exit {done.returncode}: {done.stderr.decode()}{done.stdout.decode()}"
        if fails:
            return done.stderr.decode()
        return json.loads(done.stdout) if done.stdout else {}

    def sqs(self, operation, *arguments, **more):
        return self.aws("sqs", operation, *arguments, **more)

    def queue(self, suffix="", **attributes):
        more = ["--attributes", json.dumps(attributes)] if attributes else []
        return self.sqs("create-queue", "--queue-name", f"cli-{uuid.uuid4().hex[:12]}{suffix}", *more)["QueueUrl"]

    def arn(self, url):
        answer = self.sqs("get-queue-attributes", "--queue-url", url, "--attribute-names", "QueueArn")
        return answer["Attributes"]["QueueArn"]


@check
def a_message_is_sent_received_and_deleted(world):
    url = world.queue()
    attributes = json.dumps({"n": {"DataType": "Number", "StringValue": "7"}})
    sent = world.sqs("send-message", "--queue-url", url, "--message-body", "hello", "--message-attributes", attributes)
    answer = world.sqs("receive-message", "--queue-url", url, "--attribute-names", "All", "--message-attribute-names", "All")
    [message] = answer["Messages"]
    equal((message["Body"], message["MessageId"]), ("hello", sent["MessageId"]))
    equal(message["MessageAttributes"]["n"]["StringValue"], "7")
    world.sqs("delete-message", "--queue-url", url, "--receipt-handle", message["ReceiptHandle"])
    world.sqs("delete-queue", "--queue-url", url)
    assert "NonExistentQueue" in world.sqs("receive-message", "--queue-url", url, fails=True)


@check
def a_batch_has_its_failures(world):
    url = world.queue()
    entries = json.dumps([{"Id": "a", "MessageBody": "1"}, {"Id": "b", "MessageBody": "2", "DelaySeconds": 901}])
    answer = world.sqs("send-message-batch", "--queue-url", url, "--entries", entries)
    equal([it["Id"] for it in answer["Successful"]], ["a"])
    equal([it["Id"] for it in answer["Failed"]], ["b"])


@check
def a_fifo_queue_has_numbers(world):
    url = world.queue(".fifo", FifoQueue="true", ContentBasedDeduplication="true")
    sent = world.sqs("send-message", "--queue-url", url, "--message-body", "a", "--message-group-id", "g")
    equal(len(sent["SequenceNumber"]), 20)


@check
def dead_letters_are_moved(world):
    dead = world.queue()
    policy = json.dumps({"deadLetterTargetArn": world.arn(dead), "maxReceiveCount": 1})
    url = world.queue(RedrivePolicy=policy, VisibilityTimeout="0")
    world.sqs("send-message", "--queue-url", url, "--message-body", "poison")
    world.sqs("receive-message", "--queue-url", url)
    equal(world.sqs("receive-message", "--queue-url", url), {})
    equal(world.sqs("list-dead-letter-source-queues", "--queue-url", dead)["queueUrls"], [url])
    assert world.sqs("start-message-move-task", "--source-arn", world.arn(dead))["TaskHandle"]
    moved = world.sqs("receive-message", "--queue-url", url, "--wait-time-seconds", "10")
    equal(moved["Messages"][0]["Body"], "poison")


@check
def a_mapping_invokes_a_function(world):
    url = world.queue(VisibilityTimeout="120")
    made = world.aws("lambda", "create-event-source-mapping", "--event-source-arn", world.arn(url), "--function-name", "sweep",
                     "--batch-size", "5", "--function-response-types", "ReportBatchItemFailures")
    equal((made["BatchSize"], made["State"], made["EventSourceArn"]), (5, "Enabled", world.arn(url)))
    identity = made["UUID"]
    again = world.aws("lambda", "create-event-source-mapping", "--event-source-arn", world.arn(url), "--function-name", "sweep",
                      fails=True)
    assert "ResourceConflictException" in again and identity in again
    listed = world.aws("lambda", "list-event-source-mappings", "--event-source-arn", world.arn(url))
    equal([it["UUID"] for it in listed["EventSourceMappings"]], [identity])
    # What it does with a message is seen by that the message is gone.
    world.sqs("send-message", "--queue-url", url, "--message-body", "hello")
    for _ in range(50):
        found = world.sqs("get-queue-attributes", "--queue-url", url, "--attribute-names", "All")["Attributes"]
        if found["ApproximateNumberOfMessages"] == found["ApproximateNumberOfMessagesNotVisible"] == "0":
            break
    else:
        raise AssertionError(f"the message is still there: {found}")
    updated = world.aws("lambda", "update-event-source-mapping", "--uuid", identity, "--no-enabled", "--batch-size", "7")
    equal((updated["State"], updated["BatchSize"]), ("Disabled", 7))
    assert "InvalidParameterValueException" in world.aws(
        "lambda", "update-event-source-mapping", "--uuid", identity, "--batch-size", "10001", fails=True)
    equal(world.aws("lambda", "delete-event-source-mapping", "--uuid", identity)["State"], "Deleting")
    gone = world.aws("lambda", "get-event-source-mapping", "--uuid", identity, fails=True)
    assert "ResourceNotFoundException" in gone


@check
def a_mapping_needs_its_parties(world):
    url = world.queue()
    short = world.aws("lambda", "create-event-source-mapping", "--event-source-arn", world.arn(url), "--function-name", "sweep",
                      fails=True)
    assert "less than Function timeout" in short
    for arn, function, code in (
        (world.arn(url) + "x", "sweep", "InvalidParameterValueException"),
        (world.arn(url), "nobody", "ResourceNotFoundException"),
        ("arn:aws:kinesis:us-east-1:000000000000:stream/x", "sweep", "InvalidParameterValueException"),
    ):
        answer = world.aws("lambda", "create-event-source-mapping", "--event-source-arn", arn, "--function-name", function,
                           fails=True)
        assert code in answer, answer


if __name__ == "__main__":
    given = command_line(__doc__, aws=str(pathlib.Path(sys.executable).with_name("aws")))
    perform_all(given, lambda test: test(World(given.endpoint_url, given.aws)))
