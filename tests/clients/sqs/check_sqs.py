"""SQS as boto3 sees it: queues, messages one by one and in batches, visibility, FIFO, dead letters, and the older protocol.

Run against `taskferry dev`: `check_sqs.py --endpoint-url URL`. Prints one line per check and a count; exits 1 if a check
failed. With a boto3 before 1.28.81 all is asked by the older protocol.

With `--peer ministack` it is held against that emulator, which we did not write: a check that it is known to fail, for a
reason that AWS's documentation decides, must fail, and all others must pass. So an error of these checks' own is seen too.
"""

import concurrent.futures
import hashlib
import json
import pathlib
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
import xml.etree.ElementTree

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from checks import CHECKS, check, command_line, equal, perform_all, refused  # noqa: E402

MIB = 1024 * 1024
REFERENCE = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/"
GUIDE = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"

# What a peer does otherwise, check by check, and the page that decides.
DIFFERENCES = {
    "ministack": {
        "the defaults are aws s": "SqsManagedSseEnabled is absent: " + REFERENCE + "API_GetQueueAttributes.html",
        "a fifo queue has the attributes of one":
            "no DeduplicationScope, no FifoThroughputLimit: " + REFERENCE + "API_GetQueueAttributes.html",
        "attributes are only shown when asked for": "all are shown when none is named: " + REFERENCE + "API_GetQueueAttributes.html",
        "unknown attributes are refused": "InvalidAttributeName is missing: " + REFERENCE + "API_CreateQueue.html",
        "names keep to their rules": "a queue without a name lacks a parameter, and other rules: " + REFERENCE + "API_CreateQueue.html",
        "attributes of fifo queues are theirs alone": "they \"apply only to FIFO queues\": " + REFERENCE + "API_CreateQueue.html",
        "queues are listed by prefix and page": "an empty list of queues is told: " + REFERENCE + "API_ListQueues.html",
        "more than fifty tags are refused": "fifty tags a queue: " + GUIDE + "quotas-queues.html",
        "permissions are in the policy": "principals are ARNs of accounts: " + GUIDE + "sqs-overview-of-managing-access.html",
        "system attributes tell of the message": "no MD5OfMessageSystemAttributes: " + REFERENCE + "API_SendMessage.html",
        "a message is as long as a mebibyte": "attributes count too: " + GUIDE + "sqs-message-metadata.html",
        "bad attributes are refused": "names and values have rules: " + GUIDE + "sqs-message-metadata.html",
        "only known system attributes are taken": "AWSTraceHeader alone: " + REFERENCE + "API_SendMessage.html",
        "a standard queue deduplicates nothing": "it \"applies only to FIFO queues\": " + REFERENCE + "API_SendMessage.html",
        "receives keep to their ranges": "ranges of the parameters: " + REFERENCE + "API_ReceiveMessage.html",
        "a deleted message never comes again": "deleting twice succeeds: " + REFERENCE + "API_DeleteMessage.html",
        "visibility is changed of messages in flight alone": "MessageNotInflight: " + REFERENCE + "API_ChangeMessageVisibility.html",
        "a message is invisible for twelve hours in all": "twelve hours in all: " + REFERENCE + "API_ChangeMessageVisibility.html",
        "a delayed message comes later": "DelaySeconds up to 900: " + REFERENCE + "API_SendMessage.html",
        "a queue is purged once a minute": "PurgeQueueInProgress: " + REFERENCE + "API_PurgeQueue.html",
        "a bad entry fails no other": "DelaySeconds up to 900: " + REFERENCE + "API_SendMessageBatch.html",
        "a fifo queue needs group and deduplication id": "without a group \"the action fails\": " + REFERENCE + "API_SendMessage.html",
        "a fifo queue s delay is retroactive": "\"retroactive\" for FIFO queues: " + GUIDE + "sqs-delay-queues.html",
        "a receive can be asked for again": "ReceiveRequestAttemptId: " + REFERENCE + "API_ReceiveMessage.html",
        "a late delete of an ordered message is refused":
            "the handle is valid, and expired: " + REFERENCE + "API_ReceiveMessage.html",
        "bad redrive policies are refused": "a parameter's value is at fault: " + REFERENCE + "API_SetQueueAttributes.html",
        "dead letters go to a queue of the same type": "it \"must also be a FIFO queue\": " + REFERENCE + "API_SetQueueAttributes.html",
        "a queue may allow nobody s dead letters": "RedriveAllowPolicy: " + REFERENCE + "API_SetQueueAttributes.html",
        "the sources of dead letters are listed": "no such operation: " + REFERENCE + "API_ListDeadLetterSourceQueues.html",
        "dead letters are moved back": "no such operation: " + REFERENCE + "API_StartMessageMoveTask.html",
        "dead letters are moved to another queue": "no such operation: " + REFERENCE + "API_StartMessageMoveTask.html",
        "a move can be cancelled": "no such operation: " + REFERENCE + "API_CancelMessageMoveTask.html",
        "bad moves are refused": "no such operation: " + REFERENCE + "API_StartMessageMoveTask.html",
        "a form is answered in xml": "a carriage return is lost: #xD is allowed by " + REFERENCE + "API_SendMessage.html",
        "a form sends batches": "DelaySeconds up to 900: " + REFERENCE + "API_SendMessageBatch.html",
        "a form s errors have their codes": "S3 answers for an unknown action: " + REFERENCE + "CommonErrors.html",
        "what cannot be read is refused": "status 500: " + REFERENCE + "CommonErrors.html",
    },
}


class World:
    """A client, and queues of a check's own."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.sqs = boto3.client(
            "sqs", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any",
            config=Config(parameter_validation=False, retries={"total_max_attempts": 1}, read_timeout=40,
                          max_pool_connections=20))
        self.made = []
        self.asks_by_query = self.sqs.meta.service_model.metadata["protocol"] == "query"

    def name(self, suffix=""):
        return "check-" + uuid.uuid4().hex[:16] + suffix

    def queue(self, name=None, tags=None, **attributes):
        more = {"tags": tags} if tags else {}
        url = self.sqs.create_queue(QueueName=self.name() if name is None else name, Attributes=attributes, **more)["QueueUrl"]
        self.made.append(url)
        return url

    def fifo(self, **attributes):
        return self.queue(self.name(".fifo"), FifoQueue="true", **attributes)

    def arn(self, url):
        return self.attributes(url, "QueueArn")["QueueArn"]

    def attributes(self, url, *names):
        answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names) or ["All"])
        return answer.get("Attributes", {})

    def send(self, url, body="body", **more):
        return self.sqs.send_message(QueueUrl=url, MessageBody=body, **more)

    def send_all(self, url, entries):
        return self.sqs.send_message_batch(QueueUrl=url, Entries=entries)

    def receive(self, url, count=10, wait=0, **more):
        answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=count, WaitTimeSeconds=wait, **more)
        return answer.get("Messages", [])

    def bodies(self, url, count=10, wait=0, **more):
        return [message["Body"] for message in self.receive(url, count, wait, **more)]

    def delete(self, url, message):
        self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def counts(self, url):
        """Visible, in flight, delayed."""
        found = self.attributes(url)
        names = ["", "NotVisible", "Delayed"]
        return [int(found["ApproximateNumberOfMessages" + name]) for name in names]

    def with_dead_letters(self, receives_max, make, **attributes):
        dead = make()
        policy = json.dumps({"deadLetterTargetArn": self.arn(dead), "maxReceiveCount": receives_max})
        return make(RedrivePolicy=policy, **attributes), dead

    def form(self, url, **members):
        """A request in the older protocol: the answer's root, without its namespace."""
        data = urllib.parse.urlencode({name.replace("__", "."): value for name, value in members.items()}).encode()
        request = urllib.request.Request(url, data=data)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        root = xml.etree.ElementTree.fromstring(text)
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root

    def clear(self):
        for url in self.made:
            try:
                self.sqs.delete_queue(QueueUrl=url)
            except ClientError:
                pass


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def attributes_md5(attributes):
    """AWS's algorithm, written anew: GUIDE + sqs-message-metadata.html"""
    digest = hashlib.md5()

    def part(data):
        digest.update(struct.pack(">I", len(data)) + data)

    for name in sorted(attributes):
        value = attributes[name]
        part(name.encode())
        part(value["DataType"].encode())
        if value["DataType"].startswith("Binary"):
            digest.update(b"\x02")
            part(value["BinaryValue"])
        else:
            digest.update(b"\x01")
            part(value["StringValue"].encode())
    return digest.hexdigest()


def string(value):
    return {"DataType": "String", "StringValue": value}


NOT_THERE = "AWS.SimpleQueueService.NonExistentQueue"


# Queues


@check
def a_queue_is_made_once(world):
    name = world.name()
    url = world.queue(name, VisibilityTimeout="45")
    equal(world.queue(name, VisibilityTimeout="45"), url)
    equal(world.queue(name), url)
    equal(url.rsplit("/", 1)[1], name)
    equal(world.sqs.get_queue_url(QueueName=name)["QueueUrl"], url)


@check
def a_queue_with_other_attributes_is_another(world):
    name = world.name()
    world.queue(name, VisibilityTimeout="45")
    answer = refused("QueueAlreadyExists", world.queue, name, VisibilityTimeout="46")
    assert "VisibilityTimeout" in answer["Error"]["Message"]


@check
def the_defaults_are_aws_s(world):
    found = world.attributes(world.queue())
    expected = {
        "VisibilityTimeout": "30", "DelaySeconds": "0", "MessageRetentionPeriod": "345600",
        "ReceiveMessageWaitTimeSeconds": "0", "MaximumMessageSize": str(MIB), "SqsManagedSseEnabled": "true",
        "ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0",
        "ApproximateNumberOfMessagesDelayed": "0",
    }
    equal({name: found.get(name) for name in expected}, expected)
    assert abs(int(found["CreatedTimestamp"]) - time.time()) < 60
    equal(found["CreatedTimestamp"], found["LastModifiedTimestamp"])
    assert "FifoQueue" not in found and "Policy" not in found and "RedrivePolicy" not in found


@check
def a_fifo_queue_has_the_attributes_of_one(world):
    found = world.attributes(world.fifo())
    equal([found.get(it) for it in ("FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit")],
          ["true", "false", "queue", "perQueue"])


@check
def attributes_are_only_shown_when_asked_for(world):
    url = world.queue()
    equal(set(world.attributes(url, "DelaySeconds", "QueueArn")), {"DelaySeconds", "QueueArn"})
    equal(world.sqs.get_queue_attributes(QueueUrl=url).get("Attributes"), None)
    refused("InvalidAttributeName", world.attributes, url, "Colour")


@check
def attributes_can_be_changed(world):
    url = world.queue()
    world.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "7", "MaximumMessageSize": "2048"})
    found = world.attributes(url)
    equal((found["VisibilityTimeout"], found["MaximumMessageSize"], found["DelaySeconds"]), ("7", "2048", "0"))


RANGES = {
    "DelaySeconds": (0, 900), "MaximumMessageSize": (1024, MIB), "MessageRetentionPeriod": (60, 1209600),
    "ReceiveMessageWaitTimeSeconds": (0, 20), "VisibilityTimeout": (0, 43200),
}


@check
def attributes_keep_to_their_ranges(world):
    for name, (low, high) in RANGES.items():
        url = world.queue(**{name: str(high)})
        world.sqs.set_queue_attributes(QueueUrl=url, Attributes={name: str(low)})
        for value in (low - 1, high + 1, "many"):
            refused("InvalidAttributeValue", world.queue, **{name: str(value)})
            refused("InvalidAttributeValue", world.sqs.set_queue_attributes, QueueUrl=url, Attributes={name: str(value)})


@check
def unknown_attributes_are_refused(world):
    refused("InvalidAttributeName", world.queue, Colour="red")
    refused("InvalidAttributeName", world.sqs.set_queue_attributes, QueueUrl=world.queue(), Attributes={"Colour": "red"})


@check
def names_keep_to_their_rules(world):
    for name in ("", "a" * 81, "a b", "a/b", "a.b", "b.fifo", "ü"):
        refused("InvalidParameterValue", world.queue, name)
    refused("InvalidParameterValue", world.queue, world.name(), FifoQueue="true")
    world.queue("a" * 60 + world.name()[-20:])


@check
def attributes_of_fifo_queues_are_theirs_alone(world):
    refused("InvalidAttributeName", world.queue, ContentBasedDeduplication="true")
    refused("InvalidAttributeValue", world.fifo, FifoThroughputLimit="perMessageGroupId")
    url = world.fifo(FifoThroughputLimit="perMessageGroupId", DeduplicationScope="messageGroup")
    equal(world.attributes(url)["DeduplicationScope"], "messageGroup")


@check
def queues_are_listed_by_prefix_and_page(world):
    prefix = world.name()
    urls = [world.queue(f"{prefix}-{number}") for number in range(5)]
    equal(sorted(world.sqs.list_queues(QueueNamePrefix=prefix)["QueueUrls"]), urls)
    found, token = [], None
    while True:
        more = {"NextToken": token} if token else {}
        page = world.sqs.list_queues(QueueNamePrefix=prefix, MaxResults=2, **more)
        assert len(page["QueueUrls"]) <= 2
        found += page["QueueUrls"]
        token = page.get("NextToken")
        if not token:
            break
    equal(sorted(found), urls)
    equal(world.sqs.list_queues(QueueNamePrefix=world.name()).get("QueueUrls"), None)


@check
def what_is_not_there_is_said_so(world):
    url = world.queue()
    gone = url + "x"
    refused(NOT_THERE, world.sqs.get_queue_url, QueueName=world.name())
    for call, more in (
        (world.send, {}), (world.receive, {}), (world.attributes, {}),
        (world.sqs.purge_queue, {}), (world.sqs.delete_queue, {}), (world.sqs.list_queue_tags, {}),
        (world.sqs.send_message_batch, {"Entries": [{"Id": "a", "MessageBody": "b"}]}),
    ):
        if call in (world.send, world.receive, world.attributes):
            answer = refused(NOT_THERE, call, gone)
        else:
            answer = refused(NOT_THERE, call, QueueUrl=gone, **more)
        equal(answer["ResponseMetadata"]["HTTPStatusCode"], 400)
        if not world.asks_by_query:
            header = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amzn-query-error")
            equal(header, NOT_THERE + ";Sender")


@check
def a_deleted_queue_is_gone(world):
    name = world.name()
    url = world.queue(name)
    world.send(url)
    world.sqs.delete_queue(QueueUrl=url)
    refused(NOT_THERE, world.sqs.get_queue_url, QueueName=name)
    refused(NOT_THERE, world.receive, url)


@check
def tags_are_kept(world):
    url = world.queue(tags={"a": "1"})
    world.sqs.tag_queue(QueueUrl=url, Tags={"b": "2", "a": "3"})
    equal(world.sqs.list_queue_tags(QueueUrl=url)["Tags"], {"a": "3", "b": "2"})
    world.sqs.untag_queue(QueueUrl=url, TagKeys=["a", "z"])
    equal(world.sqs.list_queue_tags(QueueUrl=url)["Tags"], {"b": "2"})


@check
def more_than_fifty_tags_are_refused(world):
    url = world.queue()
    refused("InvalidParameterValue", world.sqs.tag_queue, QueueUrl=url, Tags={f"t{it}": "" for it in range(51)})
    equal(world.sqs.list_queue_tags(QueueUrl=url).get("Tags"), None)


@check
def permissions_are_in_the_policy(world):
    url = world.queue()
    world.sqs.add_permission(QueueUrl=url, Label="one", AWSAccountIds=["111111111111"], Actions=["SendMessage"])
    world.sqs.add_permission(QueueUrl=url, Label="two", AWSAccountIds=["111111111111", "222222222222"], Actions=["*"])
    statements = json.loads(world.attributes(url, "Policy")["Policy"])["Statement"]
    equal([it["Sid"] for it in statements], ["one", "two"])
    equal((statements[0]["Action"], statements[0]["Principal"]), ("SQS:SendMessage", {"AWS": "arn:aws:iam::111111111111:root"}))
    refused("InvalidParameterValue", world.sqs.add_permission,
            QueueUrl=url, Label="one", AWSAccountIds=["111111111111"], Actions=["SendMessage"])
    world.sqs.remove_permission(QueueUrl=url, Label="one")
    refused("InvalidParameterValue", world.sqs.remove_permission, QueueUrl=url, Label="one")


# Messages


@check
def a_message_comes_as_it_was_sent(world):
    url = world.queue()
    body = "<a & b>\r\n\t\"ü\" 한국어 🚢"
    attributes = {
        "text": string("värde"), "number": {"DataType": "Number.int", "StringValue": "007"},
        "bytes": {"DataType": "Binary.png", "BinaryValue": bytes(range(256))},
    }
    sent = world.send(url, body, MessageAttributes=attributes)
    equal(sent["MD5OfMessageBody"], md5(body))
    equal(sent["MD5OfMessageAttributes"], attributes_md5(attributes))
    [message] = world.receive(url, MessageAttributeNames=["All"])
    equal((message["Body"], message["MD5OfBody"], message["MessageId"]), (body, md5(body), sent["MessageId"]))
    equal(message["MessageAttributes"], attributes)
    equal(message["MD5OfMessageAttributes"], attributes_md5(attributes))


@check
def attributes_come_as_they_are_asked_for(world):
    url = world.queue(VisibilityTimeout="0")
    attributes = {name: string(name) for name in ("foo.a", "foo.b", "bar")}
    world.send(url, MessageAttributes=attributes)
    for asked, expected in (
        (["foo.*"], {"foo.a", "foo.b"}), (["bar"], {"bar"}), ([".*"], set(attributes)), (["All"], set(attributes)),
        (["x"], set()), ([], set()),
    ):
        [message] = world.receive(url, MessageAttributeNames=asked)
        equal(set(message.get("MessageAttributes", {})), expected)
        if expected:
            equal(message["MD5OfMessageAttributes"], attributes_md5(message["MessageAttributes"]))


@check
def system_attributes_tell_of_the_message(world):
    url = world.queue(VisibilityTimeout="0")
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793"
    sent = world.send(url, MessageSystemAttributes={"AWSTraceHeader": string(trace)})
    equal(sent["MD5OfMessageSystemAttributes"], attributes_md5({"AWSTraceHeader": string(trace)}))
    world.receive(url)
    [message] = world.receive(url, AttributeNames=["All"])
    found = message["Attributes"]
    equal((found["ApproximateReceiveCount"], found["AWSTraceHeader"]), ("2", trace))
    assert abs(int(found["SentTimestamp"]) / 1000 - time.time()) < 60
    assert int(found["SentTimestamp"]) <= int(found["ApproximateFirstReceiveTimestamp"])
    assert found["SenderId"]
    # An older client does not know the name that has taken the other's place.
    names = "AttributeNames" if world.asks_by_query else "MessageSystemAttributeNames"
    [message] = world.receive(url, **{names: ["SentTimestamp"]})
    equal(set(message["Attributes"]), {"SentTimestamp"})
    [message] = world.receive(url)
    assert "Attributes" not in message


@check
def a_message_is_as_long_as_a_mebibyte(world):
    url = world.queue()
    name = "n" * 10
    attributes = {name: string("v" * 84)}
    world.send(url, "x" * (MIB - 100), MessageAttributes=attributes)
    refused("InvalidParameterValue", world.send, url, "x" * (MIB - 99), MessageAttributes=attributes)
    equal(len(world.receive(url)[0]["Body"]), MIB - 100)


@check
def a_queue_s_own_limit_holds(world):
    url = world.queue(MaximumMessageSize="1024")
    world.send(url, "ü" * 512)
    refused("InvalidParameterValue", world.send, url, "ü" * 512 + "x")


@check
def a_body_has_characters_of_xml_alone(world):
    url = world.queue()
    for bad in ("\x00", "\x0b", "\x1f", "\ufffe", "\uffff"):
        refused("InvalidMessageContents", world.send, url, f"a{bad}b")
    world.send(url, "\t\n\r \ud7ff\ue000\ufffd\U00010000\U0010ffff\x7f")


@check
def an_empty_body_is_refused(world):
    url = world.queue()
    refused("MissingParameter", world.send, url, "")


@check
def bad_attributes_are_refused(world):
    url = world.queue()
    for name, value in (
        ("", string("a")), ("a" * 257, string("a")), ("a b", string("a")), ("AWS.a", string("a")), ("amazon.a", string("a")),
        (".a", string("a")), ("a.", string("a")), ("a..b", string("a")), ("a", string("")),
        ("a", {"DataType": "Text", "StringValue": "a"}), ("a", {"StringValue": "a"}),
        ("a", {"DataType": "Number", "StringValue": "one"}), ("a", {"DataType": "String"}), ("a", string("\x01")),
    ):
        refused("InvalidParameterValue", world.send, url, MessageAttributes={name: value})
    refused("InvalidParameterValue", world.send, url, MessageAttributes={f"a{it}": string("a") for it in range(11)})
    equal(world.counts(url), [0, 0, 0])


@check
def only_known_system_attributes_are_taken(world):
    refused("InvalidParameterValue", world.send, world.queue(), MessageSystemAttributes={"Colour": string("red")})


@check
def a_standard_queue_keeps_a_group(world):
    url = world.queue()
    world.send(url, MessageGroupId="tenant")
    [message] = world.receive(url, AttributeNames=["All"])
    equal(message["Attributes"]["MessageGroupId"], "tenant")


@check
def a_standard_queue_deduplicates_nothing(world):
    url = world.queue()
    refused("InvalidParameterValue", world.send, url, MessageDeduplicationId="a")


@check
def receives_keep_to_their_ranges(world):
    url = world.queue()
    for name, values in (("MaxNumberOfMessages", (0, 11)), ("WaitTimeSeconds", (-1, 21)), ("VisibilityTimeout", (-1, 43201))):
        for value in values:
            refused("InvalidParameterValue", world.sqs.receive_message, QueueUrl=url, **{name: value})
    refused("InvalidAttributeName", world.receive, url, AttributeNames=["Colour"])


@check
def an_empty_queue_gives_no_messages(world):
    answer = world.sqs.receive_message(QueueUrl=world.queue())
    assert "Messages" not in answer


@check
def a_message_in_flight_is_not_received(world):
    url = world.queue()
    world.send(url)
    equal(len(world.receive(url)), 1)
    equal(world.receive(url), [])
    equal(world.counts(url), [0, 1, 0])


@check
def a_message_comes_again_after_its_visibility_timeout(world):
    url = world.queue(VisibilityTimeout="1")
    world.send(url)
    [first] = world.receive(url)
    equal(world.receive(url), [])
    [again] = world.receive(url, wait=5)
    equal(again["MessageId"], first["MessageId"])
    assert again["ReceiptHandle"] != first["ReceiptHandle"]


@check
def a_deleted_message_never_comes_again(world):
    url = world.queue(VisibilityTimeout="1")
    world.send(url)
    [message] = world.receive(url)
    world.delete(url, message)
    world.delete(url, message)
    equal(world.receive(url, wait=2), [])
    equal(world.counts(url), [0, 0, 0])


@check
def what_is_no_receipt_handle_is_refused(world):
    url = world.queue()
    refused("ReceiptHandleIsInvalid", world.sqs.delete_message, QueueUrl=url, ReceiptHandle="x")
    refused("ReceiptHandleIsInvalid", world.sqs.change_message_visibility,
            QueueUrl=url, ReceiptHandle="x", VisibilityTimeout=1)


@check
def a_receipt_handle_is_of_one_queue(world):
    one, other = world.queue(), world.queue()
    world.send(one)
    [message] = world.receive(one)
    refused("ReceiptHandleIsInvalid", world.delete, other, message)


@check
def visibility_can_be_changed(world):
    url = world.queue()
    world.send(url)
    [message] = world.receive(url)
    change = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
    world.sqs.change_message_visibility(**change, VisibilityTimeout=60)
    equal(world.receive(url), [])
    world.sqs.change_message_visibility(**change, VisibilityTimeout=0)
    [again] = world.receive(url)
    equal(again["MessageId"], message["MessageId"])


@check
def visibility_is_changed_of_messages_in_flight_alone(world):
    url = world.queue()
    world.send(url)
    [message] = world.receive(url, VisibilityTimeout=0)
    change = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
    refused("AWS.SimpleQueueService.MessageNotInflight", world.sqs.change_message_visibility, **change, VisibilityTimeout=5)
    refused("InvalidParameterValue", world.sqs.change_message_visibility, **change, VisibilityTimeout=43201)
    refused("InvalidParameterValue", world.sqs.change_message_visibility, **change, VisibilityTimeout=-1)
    world.delete(url, message)
    refused("InvalidParameterValue", world.sqs.change_message_visibility, **change, VisibilityTimeout=5)


@check
def a_message_is_invisible_for_twelve_hours_in_all(world):
    url = world.queue()
    world.send(url)
    [message] = world.receive(url)
    change = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
    world.sqs.change_message_visibility(**change, VisibilityTimeout=43195)
    time.sleep(1.1)
    refused("InvalidParameterValue", world.sqs.change_message_visibility, **change, VisibilityTimeout=43200)


@check
def a_delayed_message_comes_later(world):
    url = world.queue()
    world.send(url, DelaySeconds=1)
    equal(world.receive(url), [])
    equal(world.counts(url), [0, 0, 1])
    began = time.monotonic()
    equal(len(world.receive(url, wait=5)), 1)
    assert time.monotonic() - began < 3
    refused("InvalidParameterValue", world.send, url, DelaySeconds=901)
    refused("InvalidParameterValue", world.send, url, DelaySeconds=-1)


@check
def a_queue_s_delay_holds_for_all_that_name_none(world):
    url = world.queue(DelaySeconds="900")
    world.send(url, "later")
    world.send(url, "now", DelaySeconds=0)
    equal(world.bodies(url), ["now"])


@check
def a_long_poll_waits_for_a_message(world):
    url = world.queue()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(world.bodies, url, wait=20)
        time.sleep(0.5)
        began = time.monotonic()
        world.send(url, "woken")
        equal(waiting.result(), ["woken"])
    assert time.monotonic() - began < 1


@check
def a_long_poll_ends_when_its_time_is_over(world):
    url = world.queue(ReceiveMessageWaitTimeSeconds="1")
    began = time.monotonic()
    assert "Messages" not in world.sqs.receive_message(QueueUrl=url)
    assert 0.9 < time.monotonic() - began < 3


@check
def many_long_polls_share_what_comes(world):
    url = world.queue()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = [pool.submit(world.bodies, url, 1, 10) for _ in range(5)]
        time.sleep(0.5)
        world.send_all(url, [{"Id": str(it), "MessageBody": str(it)} for it in range(5)])
        equal(sorted(body for it in waiting for body in it.result()), list("01234"))


@check
def a_purged_queue_is_empty(world):
    url = world.queue()
    world.send_all(url, [{"Id": str(it), "MessageBody": "x"} for it in range(10)])
    world.receive(url, 3)
    world.sqs.purge_queue(QueueUrl=url)
    time.sleep(1)
    equal(world.counts(url), [0, 0, 0])
    equal(world.receive(url), [])
    world.send(url, "after")
    equal(world.bodies(url), ["after"])


@check
def a_queue_is_purged_once_a_minute(world):
    url = world.queue()
    world.sqs.purge_queue(QueueUrl=url)
    refused("AWS.SimpleQueueService.PurgeQueueInProgress", world.sqs.purge_queue, QueueUrl=url)


# Batches


@check
def a_batch_is_sent_and_deleted(world):
    url = world.queue()
    answer = world.send_all(url, [{"Id": f"id_{it}", "MessageBody": str(it)} for it in range(10)])
    equal([it["Id"] for it in answer["Successful"]], [f"id_{it}" for it in range(10)])
    equal(answer["Successful"][3]["MD5OfMessageBody"], md5("3"))
    assert not answer.get("Failed")
    messages = []
    while len(messages) < 10:
        messages += world.receive(url, wait=1)
    entries = [{"Id": str(at), "ReceiptHandle": it["ReceiptHandle"]} for at, it in enumerate(messages)]
    done = world.sqs.delete_message_batch(QueueUrl=url, Entries=entries)
    equal(len(done["Successful"]), 10)
    equal(world.counts(url), [0, 0, 0])


@check
def a_bad_entry_fails_no_other(world):
    url = world.queue()
    answer = world.send_all(url, [{"Id": "good", "MessageBody": "a"}, {"Id": "bad", "MessageBody": "\x00"},
                                  {"Id": "late", "MessageBody": "b", "DelaySeconds": 901}])
    equal([it["Id"] for it in answer["Successful"]], ["good"])
    equal([(it["Id"], it["Code"], it["SenderFault"]) for it in answer["Failed"]],
          [("bad", "InvalidMessageContents", True), ("late", "InvalidParameterValue", True)])
    [message] = world.receive(url)
    done = world.sqs.delete_message_batch(QueueUrl=url, Entries=[
        {"Id": "bad", "ReceiptHandle": "x"}, {"Id": "good", "ReceiptHandle": message["ReceiptHandle"]}])
    equal([it["Id"] for it in done["Successful"]], ["good"])
    equal([(it["Id"], it["Code"]) for it in done["Failed"]], [("bad", "ReceiptHandleIsInvalid")])


@check
def bad_batches_are_refused_whole(world):
    url = world.queue()
    prefix = "AWS.SimpleQueueService."
    for code, entries in (
        ("EmptyBatchRequest", []),
        ("TooManyEntriesInBatchRequest", [{"Id": str(it), "MessageBody": "a"} for it in range(11)]),
        ("BatchEntryIdsNotDistinct", [{"Id": "a", "MessageBody": "a"}] * 2),
        ("InvalidBatchEntryId", [{"Id": "a b", "MessageBody": "a"}]),
        ("InvalidBatchEntryId", [{"Id": "", "MessageBody": "a"}]),
        ("InvalidBatchEntryId", [{"Id": "a" * 81, "MessageBody": "a"}]),
        ("BatchRequestTooLong", [{"Id": str(it), "MessageBody": "x" * (MIB // 2 + 1)} for it in range(2)]),
    ):
        refused(prefix + code, world.send_all, url, entries)
    for call in (world.sqs.delete_message_batch, world.sqs.change_message_visibility_batch):
        refused(prefix + "EmptyBatchRequest", call, QueueUrl=url, Entries=[])
    equal(world.counts(url), [0, 0, 0])


@check
def a_batch_is_as_long_as_a_mebibyte(world):
    url = world.queue()
    entries = [{"Id": str(it), "MessageBody": "x" * (MIB // 2)} for it in range(2)]
    equal(len(world.send_all(url, entries)["Successful"]), 2)


@check
def visibility_is_changed_in_batches(world):
    url = world.queue()
    world.send_all(url, [{"Id": str(it), "MessageBody": "x"} for it in range(3)])
    messages = []
    while len(messages) < 3:
        messages += world.receive(url, wait=1)
    entries = [{"Id": str(at), "ReceiptHandle": it["ReceiptHandle"], "VisibilityTimeout": 0}
               for at, it in enumerate(messages)]
    answer = world.sqs.change_message_visibility_batch(
        QueueUrl=url, Entries=[*entries, {"Id": "bad", "ReceiptHandle": "x", "VisibilityTimeout": 0}])
    equal(len(answer["Successful"]), 3)
    equal([it["Id"] for it in answer["Failed"]], ["bad"])
    equal(world.counts(url), [3, 0, 0])


# FIFO queues


@check
def a_group_keeps_its_order(world):
    url = world.fifo()
    numbers = []
    for it in range(12):
        sent = world.send(url, str(it), MessageGroupId="g", MessageDeduplicationId=str(it))
        numbers.append(int(sent["SequenceNumber"]))
    equal(numbers, sorted(set(numbers)))
    found = []
    while len(found) < 12:
        messages = world.receive(url, 5, AttributeNames=["All"])
        for message in messages:
            found.append(message["Body"])
            equal(int(message["Attributes"]["SequenceNumber"]), numbers[len(found) - 1])
            equal(message["Attributes"]["MessageGroupId"], "g")
            world.delete(url, message)
        assert messages
    equal(found, [str(it) for it in range(12)])


@check
def a_group_with_a_message_in_flight_waits(world):
    url = world.fifo(ContentBasedDeduplication="true")
    for body, group in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        world.send(url, body, MessageGroupId=group)
    [first] = world.receive(url, 1)
    equal(first["Body"], "a1")
    [other] = world.receive(url)
    equal(other["Body"], "b1")
    equal(world.receive(url), [])
    world.delete(url, first)
    equal(world.bodies(url), ["a2"])


@check
def a_message_that_failed_comes_first_again(world):
    url = world.fifo(ContentBasedDeduplication="true", VisibilityTimeout="1")
    for body in ("1", "2", "3"):
        world.send(url, body, MessageGroupId="g")
    equal(world.bodies(url, 2), ["1", "2"])
    equal(world.receive(url), [])
    equal(world.bodies(url, wait=5), ["1", "2", "3"])


@check
def a_group_goes_on_when_visibility_is_given_up(world):
    url = world.fifo(ContentBasedDeduplication="true")
    for body in ("1", "2"):
        world.send(url, body, MessageGroupId="g")
    [first] = world.receive(url, 1)
    world.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    equal(world.bodies(url), ["1", "2"])


@check
def what_was_sent_before_is_not_sent_again(world):
    url = world.fifo()
    first = world.send(url, "a", MessageGroupId="g", MessageDeduplicationId="d")
    again = world.send(url, "b", MessageGroupId="other", MessageDeduplicationId="d")
    equal((again["MessageId"], again["SequenceNumber"]), (first["MessageId"], first["SequenceNumber"]))
    [message] = world.receive(url)
    equal(message["Body"], "a")
    world.delete(url, message)
    world.send(url, "c", MessageGroupId="g", MessageDeduplicationId="d")
    equal(world.receive(url), [])


@check
def equal_bodies_are_one_message(world):
    url = world.fifo(ContentBasedDeduplication="true")
    world.send(url, "a", MessageGroupId="g", MessageAttributes={"x": string("1")})
    world.send(url, "a", MessageGroupId="g")
    world.send(url, "a", MessageGroupId="g", MessageDeduplicationId=hashlib.sha256(b"a").hexdigest())
    world.send(url, "a", MessageGroupId="g", MessageDeduplicationId="mine")
    [first, second] = world.receive(url, AttributeNames=["All"])
    equal(first["Attributes"]["MessageDeduplicationId"], hashlib.sha256(b"a").hexdigest())
    equal(second["Attributes"]["MessageDeduplicationId"], "mine")


@check
def a_group_may_deduplicate_alone(world):
    url = world.fifo(DeduplicationScope="messageGroup")
    for group in ("a", "a", "b"):
        world.send(url, group, MessageGroupId=group, MessageDeduplicationId="d")
    equal(sorted(world.bodies(url)), ["a", "b"])


@check
def a_fifo_queue_needs_group_and_deduplication_id(world):
    url = world.fifo()
    refused("MissingParameter", world.send, url, MessageDeduplicationId="d")
    refused("InvalidParameterValue", world.send, url, MessageGroupId="g")
    refused("MissingParameter", world.send_all, url, [{"Id": "a", "MessageBody": "a", "MessageDeduplicationId": "d"}])
    refused("InvalidParameterValue", world.send, url, MessageGroupId="g" * 129, MessageDeduplicationId="d")
    refused("InvalidParameterValue", world.send, url, MessageGroupId="a b", MessageDeduplicationId="d")
    refused("InvalidParameterValue", world.send, url, MessageGroupId="g", MessageDeduplicationId="ü")


@check
def a_fifo_queue_s_messages_have_no_delay_of_their_own(world):
    url = world.fifo(ContentBasedDeduplication="true")
    refused("InvalidParameterValue", world.send, url, MessageGroupId="g", DelaySeconds=5)
    world.send(url, MessageGroupId="g", DelaySeconds=0)
    equal(world.bodies(url), ["body"])


@check
def a_fifo_queue_s_delay_is_retroactive(world):
    url = world.fifo(ContentBasedDeduplication="true", DelaySeconds="900")
    world.send(url, MessageGroupId="g")
    equal(world.receive(url), [])
    world.sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "0"})
    equal(world.bodies(url), ["body"])


@check
def a_receive_can_be_asked_for_again(world):
    url = world.fifo(ContentBasedDeduplication="true")
    for body in ("1", "2", "3"):
        world.send(url, body, MessageGroupId="g")
    first = world.receive(url, 2, ReceiveRequestAttemptId="try")
    again = world.receive(url, 2, ReceiveRequestAttemptId="try")
    equal([it["ReceiptHandle"] for it in again], [it["ReceiptHandle"] for it in first])
    equal(len(first), 2)
    equal(world.receive(url, 2, ReceiveRequestAttemptId="another"), [])


@check
def a_late_delete_of_an_ordered_message_is_refused(world):
    url = world.fifo(ContentBasedDeduplication="true", VisibilityTimeout="1")
    world.send(url, MessageGroupId="g")
    [first] = world.receive(url)
    [second] = world.receive(url, wait=5)
    refused("InvalidParameterValue", world.delete, url, first)
    world.delete(url, second)


# Dead letters


@check
def a_message_received_too_often_is_a_dead_letter(world):
    url, dead = world.with_dead_letters(2, world.queue, VisibilityTimeout="0")
    sent = world.send(url, "poison", MessageAttributes={"x": string("1")})
    for _ in range(2):
        equal(world.bodies(url), ["poison"])
    equal(world.receive(url), [])
    [letter] = world.receive(dead, AttributeNames=["All"], MessageAttributeNames=["All"])
    equal((letter["Body"], letter["MessageId"]), ("poison", sent["MessageId"]))
    equal(letter["MessageAttributes"], {"x": string("1")})
    equal(letter["Attributes"]["DeadLetterQueueSourceArn"], world.arn(url))
    equal(world.counts(url), [0, 0, 0])


@check
def a_dead_letter_frees_its_group(world):
    url, dead = world.with_dead_letters(1, world.fifo, VisibilityTimeout="0", ContentBasedDeduplication="true")
    for body in ("bad", "good"):
        world.send(url, body, MessageGroupId="g")
    equal(world.bodies(url, 1), ["bad"])
    equal(world.bodies(url, 1), ["good"])
    [letter] = world.receive(dead, AttributeNames=["All"])
    equal((letter["Body"], letter["Attributes"]["MessageGroupId"]), ("bad", "g"))


@check
def bad_redrive_policies_are_refused(world):
    dead, ordered = world.queue(), world.fifo()
    arn = world.arn(dead)
    for policy in (
        {"deadLetterTargetArn": arn}, {"maxReceiveCount": 1}, {"deadLetterTargetArn": arn + "x", "maxReceiveCount": 1},
        {"deadLetterTargetArn": arn, "maxReceiveCount": 0}, {"deadLetterTargetArn": arn, "maxReceiveCount": 1001},
        {"deadLetterTargetArn": "x", "maxReceiveCount": 1},
    ):
        refused("InvalidParameterValue", world.queue, RedrivePolicy=json.dumps(policy))
    refused("InvalidParameterValue", world.queue, RedrivePolicy="{")
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "1"})
    equal(json.loads(world.attributes(world.queue(RedrivePolicy=policy))["RedrivePolicy"])["maxReceiveCount"], 1)


@check
def dead_letters_go_to_a_queue_of_the_same_type(world):
    dead, ordered = world.queue(), world.fifo()
    policy = json.dumps({"deadLetterTargetArn": world.arn(dead), "maxReceiveCount": 1})
    refused("InvalidParameterValue", world.fifo, RedrivePolicy=policy)
    policy = json.dumps({"deadLetterTargetArn": world.arn(ordered), "maxReceiveCount": 1})
    refused("InvalidParameterValue", world.queue, RedrivePolicy=policy)


@check
def a_queue_may_allow_nobody_s_dead_letters(world):
    dead = world.queue(RedriveAllowPolicy=json.dumps({"redrivePermission": "denyAll"}))
    policy = json.dumps({"deadLetterTargetArn": world.arn(dead), "maxReceiveCount": 1})
    refused("InvalidParameterValue", world.queue, RedrivePolicy=policy)


@check
def a_redrive_policy_can_be_removed(world):
    url, _ = world.with_dead_letters(1, world.queue)
    world.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
    assert "RedrivePolicy" not in world.attributes(url)


@check
def the_sources_of_dead_letters_are_listed(world):
    url, dead = world.with_dead_letters(1, world.queue)
    equal(world.sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"], [url])
    equal(world.sqs.list_dead_letter_source_queues(QueueUrl=url).get("queueUrls", []), [])


def buried(world, count):
    url, dead = world.with_dead_letters(1, world.queue, VisibilityTimeout="0")
    for number in range(count):
        world.send(url, str(number))
    for _ in range(2 * count):
        world.receive(url)
    equal(world.counts(dead), [count, 0, 0])
    return url, dead


def until_moved(world, arn, status="COMPLETED"):
    for _ in range(100):
        [task] = world.sqs.list_message_move_tasks(SourceArn=arn)["Results"]
        if task["Status"] == status:
            return task
        time.sleep(0.1)
    raise AssertionError(f"the task is {task}")


@check
def dead_letters_are_moved_back(world):
    url, dead = buried(world, 3)
    started = world.sqs.start_message_move_task(SourceArn=world.arn(dead))
    assert started["TaskHandle"]
    task = until_moved(world, world.arn(dead))
    equal((task["ApproximateNumberOfMessagesMoved"], task["SourceArn"]), (3, world.arn(dead)))
    assert "TaskHandle" not in task and abs(task["StartedTimestamp"] / 1000 - time.time()) < 60
    equal(world.counts(url), [3, 0, 0])
    [message] = world.receive(url, 1, AttributeNames=["All"])
    equal(message["Attributes"]["ApproximateReceiveCount"], "1")


@check
def dead_letters_are_moved_to_another_queue(world):
    url, dead = buried(world, 2)
    other = world.queue()
    world.sqs.start_message_move_task(SourceArn=world.arn(dead), DestinationArn=world.arn(other))
    equal(until_moved(world, world.arn(dead))["DestinationArn"], world.arn(other))
    equal(sorted(world.bodies(other)), ["0", "1"])


@check
def a_move_can_be_cancelled(world):
    url, dead = buried(world, 5)
    handle = world.sqs.start_message_move_task(SourceArn=world.arn(dead), MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
    answer = refused("InvalidParameterValue", world.sqs.start_message_move_task, SourceArn=world.arn(dead))
    assert "already a task running" in answer["Error"]["Message"]
    moved = world.sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]
    until_moved(world, world.arn(dead), "CANCELLED")
    assert moved < 5 and world.counts(dead)[0] >= 1


@check
def bad_moves_are_refused(world):
    url, dead = world.with_dead_letters(1, world.queue)
    refused("ResourceNotFoundException", world.sqs.start_message_move_task, SourceArn=world.arn(dead) + "x")
    refused("InvalidParameterValue", world.sqs.start_message_move_task, SourceArn=world.arn(url))
    refused("InvalidParameterValue", world.sqs.start_message_move_task,
            SourceArn=world.arn(dead), MaxNumberOfMessagesPerSecond=501)
    refused("ResourceNotFoundException", world.sqs.start_message_move_task,
            SourceArn=world.arn(dead), DestinationArn=world.arn(url) + "x")
    refused("InvalidParameterValue", world.sqs.cancel_message_move_task, TaskHandle="x")


# The older protocol


@check
def a_form_is_answered_in_xml(world):
    url = world.queue()
    sent = world.form(url, Action="SendMessage", MessageBody="a <b> & c\r\n", Version="2012-11-05",
                      MessageAttribute__1__Name="n", MessageAttribute__1__Value__DataType="String",
                      MessageAttribute__1__Value__StringValue="v")
    equal(sent.tag, "SendMessageResponse")
    equal(sent.findtext("SendMessageResult/MD5OfMessageBody"), md5("a <b> & c\r\n"))
    assert sent.findtext("ResponseMetadata/RequestId")
    received = world.form(url, Action="ReceiveMessage", MaxNumberOfMessages="10", AttributeName__1="All",
                          MessageAttributeName__1="All")
    message = received.find("ReceiveMessageResult/Message")
    equal(message.findtext("Body"), "a <b> & c\r\n")
    equal(message.findtext("MessageAttribute/Name"), "n")
    equal(message.findtext("MessageAttribute/Value/StringValue"), "v")
    attributes = {it.findtext("Name"): it.findtext("Value") for it in message.findall("Attribute")}
    equal(attributes["ApproximateReceiveCount"], "1")
    deleted = world.form(url, Action="DeleteMessage", ReceiptHandle=message.findtext("ReceiptHandle"))
    equal(deleted.tag, "DeleteMessageResponse")
    equal(world.counts(url), [0, 0, 0])


@check
def a_form_makes_and_lists_queues(world):
    name = world.name()
    made = world.form(world.endpoint, Action="CreateQueue", QueueName=name, Attribute__1__Name="VisibilityTimeout",
                      Attribute__1__Value="9", Tag__1__Key="k", Tag__1__Value="v", Version="2012-11-05")
    url = made.findtext("CreateQueueResult/QueueUrl")
    world.made.append(url)
    equal(world.attributes(url)["VisibilityTimeout"], "9")
    equal(world.sqs.list_queue_tags(QueueUrl=url)["Tags"], {"k": "v"})
    listed = world.form(world.endpoint, Action="ListQueues", QueueNamePrefix=name, Version="2012-11-05")
    equal([it.text for it in listed.findall("ListQueuesResult/QueueUrl")], [url])
    found = world.form(url, Action="GetQueueAttributes", AttributeName__1="VisibilityTimeout")
    equal(found.findtext("GetQueueAttributesResult/Attribute/Value"), "9")


@check
def a_form_sends_batches(world):
    url = world.queue()
    answer = world.form(url, Action="SendMessageBatch",
                        SendMessageBatchRequestEntry__1__Id="a", SendMessageBatchRequestEntry__1__MessageBody="1",
                        SendMessageBatchRequestEntry__2__Id="b", SendMessageBatchRequestEntry__2__MessageBody="2",
                        SendMessageBatchRequestEntry__2__DelaySeconds="901")
    equal(answer.findtext("SendMessageBatchResult/SendMessageBatchResultEntry/Id"), "a")
    failed = answer.find("SendMessageBatchResult/BatchResultErrorEntry")
    equal((failed.findtext("Id"), failed.findtext("Code"), failed.findtext("SenderFault")),
          ("b", "InvalidParameterValue", "true"))


@check
def a_form_s_errors_have_their_codes(world):
    url = world.queue()
    for form, code in (
        ({"Action": "Dance"}, "InvalidAction"), ({"Action": "SendMessage"}, "MissingParameter"),
        ({"Action": "ReceiveMessage", "MaxNumberOfMessages": "11"}, "InvalidParameterValue"),
        ({"Action": "SendMessageBatch"}, "AWS.SimpleQueueService.EmptyBatchRequest"),
    ):
        error = world.form(url, **form)
        equal((error.tag, error.findtext("Error/Code"), error.findtext("Error/Type")), ("ErrorResponse", code, "Sender"))
    error = world.form(url + "x", Action="ReceiveMessage")
    equal(error.findtext("Error/Code"), NOT_THERE)


@check
def an_unknown_operation_is_refused(world):
    body = json.dumps({}).encode()
    request = urllib.request.Request(world.endpoint, data=body, headers={
        "X-Amz-Target": "AmazonSQS.Dance", "Content-Type": "application/x-amz-json-1.0"})
    try:
        urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        equal(error.code, 400)
        assert json.loads(error.read())["__type"]
    else:
        raise AssertionError("it was answered")


@check
def what_cannot_be_read_is_refused(world):
    for body in (b"{", b"[]", b"7", b'{"QueueUrl":7}', b"\xff"):
        request = urllib.request.Request(world.endpoint, data=body, headers={
            "X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": "application/x-amz-json-1.0"})
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            equal(error.code, 400)
            assert json.loads(error.read())["__type"]
        else:
            raise AssertionError(f"{body} was answered")


def main():
    given = command_line(__doc__, peer="")
    known = DIFFERENCES[given.peer] if given.peer else {}

    def perform(name, test):
        world = World(given.endpoint_url)
        try:
            test(world)
        except Exception:
            if name in known:
                print(f"      {given.peer} differs: {known[name]}")
                return
            raise
        finally:
            world.clear()
        if name in known:
            raise AssertionError(f"{given.peer} no longer differs: {known[name]}")

    CHECKS[:] = [(name, lambda name=name, test=test: perform(name, test)) for name, test in CHECKS]
    perform_all(given)


if __name__ == "__main__":
    main()
