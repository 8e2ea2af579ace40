"""SNS as boto3 and the AWS CLI see it: topics, subscriptions to queues, filter policies, raw delivery, FIFO topics.

Run against `taskferry dev`: `check_sns.py --endpoint-url URL`. Prints one line per check and a count; exits 1 if a check
failed. Topics and queues have random names, and are deleted again.
"""

import hashlib
import json
import pathlib
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from checks import aws_cli, check, client, command_line, equal, perform_all, received, refused  # noqa: E402

ACCOUNT = "arn:aws:{}:us-east-1:000000000000:{}"


class World:
    """Clients, and what a check makes."""

    def __init__(self, endpoint):
        self.endpoint, self.sns, self.sqs = endpoint, client(endpoint, "sns"), client(endpoint, "sqs")
        self.topics, self.queues = [], []

    def topic(self, fifo=False, **attributes):
        name = "check-" + uuid.uuid4().hex[:12] + (".fifo" if fifo else "")
        attributes |= {"FifoTopic": "true"} if fifo else {}
        arn = self.sns.create_topic(Name=name, Attributes=attributes)["TopicArn"]
        equal(arn, ACCOUNT.format("sns", name))
        self.topics.append(arn)
        return arn

    def queue(self, fifo=False):
        name = "check-" + uuid.uuid4().hex[:12] + (".fifo" if fifo else "")
        attributes = {"FifoQueue": "true"} if fifo else {}
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.queues.append(url)
        return url, ACCOUNT.format("sqs", name)

    def subscribed(self, fifo=False, topic=None, **attributes):
        """A topic, a queue that is subscribed to it, and the subscription."""
        topic = topic or self.topic(fifo)
        url, arn = self.queue(fifo)
        answer = self.sns.subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes, ReturnSubscriptionArn=True
        )
        return topic, url, answer["SubscriptionArn"]

    def bodies(self, url):
        return [json.loads(message["Body"]) for message in received(self.sqs, url)]

    def clean(self):
        for topic in self.topics:
            self.sns.delete_topic(TopicArn=topic)
        for queue in self.queues:
            self.sqs.delete_queue(QueueUrl=queue)


@check
def a_topic_is_made_once(world):
    topic = world.topic()
    name = topic.rsplit(":", 1)[1]
    equal(world.sns.create_topic(Name=name)["TopicArn"], topic)
    attributes = world.sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    equal((attributes["TopicArn"], attributes["Owner"], attributes["DisplayName"]), (topic, "000000000000", ""))
    json.loads(attributes["Policy"])
    message = refused("InvalidParameter", world.sns.create_topic, Name=name, Attributes={"DisplayName": "x"})["Error"]["Message"]
    equal(message, "Invalid parameter: Attributes Reason: Topic already exists with different attributes")
    world.sns.set_topic_attributes(TopicArn=topic, AttributeName="DisplayName", AttributeValue="x")
    equal(world.sns.get_topic_attributes(TopicArn=topic)["Attributes"]["DisplayName"], "x")
    equal(topic in [it["TopicArn"] for page in world.sns.get_paginator("list_topics").paginate() for it in page["Topics"]], True)


@check
def what_is_true_is_true_in_pythons_spelling_too(world):
    name = "check-" + uuid.uuid4().hex[:12] + ".fifo"
    attributes = {"FifoTopic": str(True), "ContentBasedDeduplication": str(False)}
    topic = world.sns.create_topic(Name=name, Attributes=attributes)["TopicArn"]
    world.topics.append(topic)
    shown = world.sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    equal((shown["FifoTopic"], shown["ContentBasedDeduplication"]), ("true", "false"))
    world.sns.set_topic_attributes(TopicArn=topic, AttributeName="ContentBasedDeduplication", AttributeValue="True")
    world.sns.publish(TopicArn=topic, Message="m", MessageGroupId="g")


@check
def a_message_has_its_envelope(world):
    topic, url, subscription = world.subscribed()
    attributes = {"n": {"DataType": "Number", "StringValue": "99.12"}, "b": {"DataType": "Binary", "BinaryValue": b"\x02\x03"}}
    answer = world.sns.publish(TopicArn=topic, Message='ü <&> "q"', Subject="s", MessageAttributes=attributes)
    [envelope] = world.bodies(url)
    for name in ["Timestamp", "Signature", "SigningCertURL"]:
        equal(bool(envelope.pop(name)), True)
    equal(subscription in envelope.pop("UnsubscribeURL"), True)
    equal(envelope, {
        "Type": "Notification", "MessageId": answer["MessageId"], "TopicArn": topic, "Subject": "s",
        "Message": 'ü <&> "q"', "SignatureVersion": "1",
        "MessageAttributes": {"n": {"Type": "Number", "Value": "99.12"}, "b": {"Type": "Binary", "Value": "AgM="}},
    })


@check
def raw_delivery_is_the_message_itself(world):
    topic, url, _ = world.subscribed(RawMessageDelivery="true")
    world.sns.publish(
        TopicArn=topic, Message="raw",
        MessageAttributes={"a": {"DataType": "String", "StringValue": "x"}, "b": {"DataType": "Binary", "BinaryValue": b"\x01"}},
    )
    [message] = received(world.sqs, url)
    equal(message["Body"], "raw")
    equal(message["MessageAttributes"], {
        "a": {"DataType": "String", "StringValue": "x"}, "b": {"DataType": "Binary", "BinaryValue": b"\x01"},
    })


@check
def filter_policies_choose_by_attributes(world):
    policy = {"kind": ["order", {"prefix": "re"}], "price": [{"numeric": [">=", 100]}]}
    topic, url, _ = world.subscribed(FilterPolicy=json.dumps(policy), RawMessageDelivery="true")

    def publish(message, **attributes):
        kinds = {str: "String", float: "Number", list: "String.Array"}
        values = {
            name: {"DataType": kinds[type(value)], "StringValue": json.dumps(value) if isinstance(value, list) else str(value)}
            for name, value in attributes.items()
        }
        world.sns.publish(TopicArn=topic, Message=message, MessageAttributes=values)

    publish("1", kind="order", price=100.0)
    publish("2", kind="order", price=99.5)
    publish("3", kind=["other", "refund"], price=101.0)
    publish("4", kind="other", price=101.0)
    publish("5", kind="order")
    publish("6", kind="order", price="100")
    equal(sorted(it["Body"] for it in received(world.sqs, url)), ["1", "3"])


@check
def filter_policies_choose_by_the_body(world):
    policy = {"detail": {"size": [{"numeric": [">", 5]}]}}
    topic, url, subscription = world.subscribed(
        FilterPolicyScope="MessageBody", FilterPolicy=json.dumps(policy), RawMessageDelivery="true"
    )
    for message in ['{"detail": {"size": 6}}', '{"detail": {"size": 5}}', "no JSON"]:
        world.sns.publish(TopicArn=topic, Message=message)
    equal([it["Body"] for it in received(world.sqs, url)], ['{"detail": {"size": 6}}'])
    attributes = world.sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    equal((json.loads(attributes["FilterPolicy"]), attributes["FilterPolicyScope"]), (policy, "MessageBody"))
    world.sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="FilterPolicy", AttributeValue="{}")
    world.sns.publish(TopicArn=topic, Message="no JSON")
    equal([it["Body"] for it in received(world.sqs, url)], ["no JSON"])


@check
def bad_policies_are_refused(world):
    topic = world.topic()
    _, arn = world.queue()
    for policy in ["{", '{"a": "b"}', '{"a": [{"none": 1}]}', '{"a": {"b": ["c"]}}', json.dumps({"a": list(range(151))})]:
        refused("InvalidParameter", world.sns.subscribe, TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"FilterPolicy": policy})
    equal(world.sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"], [])


@check
def subscriptions_are_listed_and_taken_back(world):
    topic, url, subscription = world.subscribed()
    [listed] = world.sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    equal((listed["SubscriptionArn"], listed["Protocol"], listed["TopicArn"]), (subscription, "sqs", topic))
    arns = [it["SubscriptionArn"] for page in world.sns.get_paginator("list_subscriptions").paginate() for it in page["Subscriptions"]]
    equal(subscription in arns, True)
    world.sns.unsubscribe(SubscriptionArn=subscription)
    world.sns.unsubscribe(SubscriptionArn=subscription)
    world.sns.publish(TopicArn=topic, Message="m")
    equal(received(world.sqs, url), [])
    refused("NotFound", world.sns.get_subscription_attributes, SubscriptionArn=subscription)


@check
def what_a_queue_misses_goes_to_the_dead_letters(world):
    url, dead_letters = world.queue()
    topic, gone, _ = world.subscribed(RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_letters}))
    world.sqs.delete_queue(QueueUrl=gone)
    world.queues.remove(gone)
    world.sns.publish(TopicArn=topic, Message="m")
    equal([it["Message"] for it in world.bodies(url)], ["m"])


@check
def a_fifo_topic_keeps_order_and_sends_once(world):
    topic, url, _ = world.subscribed(fifo=True)
    raw = world.subscribed(topic=topic, fifo=True, RawMessageDelivery="true")[1]
    for n in range(5):
        world.sns.publish(TopicArn=topic, Message=str(n), MessageGroupId="g", MessageDeduplicationId=f"d{n}")
    first = world.sns.publish(TopicArn=topic, Message="again", MessageGroupId="g", MessageDeduplicationId="d0")
    equal(first["SequenceNumber"], "10000000000000000001")
    messages = received(world.sqs, url)
    equal([json.loads(it["Body"])["Message"] for it in messages], ["0", "1", "2", "3", "4"])
    equal((messages[0]["Attributes"]["MessageGroupId"], messages[0]["Attributes"]["MessageDeduplicationId"]), ("g", "d0"))
    envelope = json.loads(messages[0]["Body"])
    equal((envelope["SequenceNumber"], "Signature" in envelope), ("10000000000000000001", False))
    equal([it["Body"] for it in received(world.sqs, raw)], ["0", "1", "2", "3", "4"])


@check
def a_fifo_topic_tells_messages_by_their_content(world):
    topic = world.topic(fifo=True, ContentBasedDeduplication="true")
    _, url, _ = world.subscribed(topic=topic, fifo=True, RawMessageDelivery="true")
    for message in ["a", "a", "b"]:
        world.sns.publish(TopicArn=topic, Message=message, MessageGroupId="g")
    messages = received(world.sqs, url)
    equal([it["Body"] for it in messages], ["a", "b"])
    equal(messages[0]["Attributes"]["MessageDeduplicationId"], hashlib.sha256(b"a").hexdigest())
    message = refused("InvalidParameter", world.sns.publish, TopicArn=topic, Message="a")["Error"]["Message"]
    equal(message, "Invalid parameter: The MessageGroupId parameter is required for FIFO topics")
    standard = world.topic()
    _, arn = world.queue(fifo=True)
    refused("InvalidParameter", world.sns.subscribe, TopicArn=standard, Protocol="sqs", Endpoint=arn)


@check
def a_batch_is_published(world):
    topic, url, _ = world.subscribed(RawMessageDelivery="true")
    entries = [{"Id": str(n), "Message": f"m{n}"} for n in range(10)]
    answer = world.sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    equal([it["Id"] for it in answer["Successful"]], [str(n) for n in range(10)])
    equal(answer.get("Failed", []), [])
    equal(sorted(it["Body"] for it in received(world.sqs, url)), [f"m{n}" for n in range(10)])
    publish = world.sns.publish_batch
    refused("TooManyEntriesInBatchRequest", publish, TopicArn=topic, PublishBatchRequestEntries=entries + [{"Id": "x", "Message": "m"}])
    refused("BatchEntryIdsNotDistinct", publish, TopicArn=topic, PublishBatchRequestEntries=[entries[0], entries[0]])
    refused("EmptyBatchRequest", publish, TopicArn=topic, PublishBatchRequestEntries=[])
    long = [{"Id": str(n), "Message": "x" * 200_000} for n in range(2)]
    refused("BatchRequestTooLong", publish, TopicArn=topic, PublishBatchRequestEntries=long)
    refused("NotFound", publish, TopicArn=ACCOUNT.format("sns", "none"), PublishBatchRequestEntries=entries)


@check
def a_message_can_differ_by_protocol(world):
    topic, url, _ = world.subscribed(RawMessageDelivery="true")
    world.sns.publish(TopicArn=topic, Message=json.dumps({"default": "d", "sqs": "q"}), MessageStructure="json")
    world.sns.publish(TopicArn=topic, Message=json.dumps({"default": "d", "lambda": "l"}), MessageStructure="json")
    equal(sorted(it["Body"] for it in received(world.sqs, url)), ["d", "q"])
    refused("InvalidParameter", world.sns.publish, TopicArn=topic, Message="{}", MessageStructure="json")


@check
def limits_are_those_of_sns(world):
    topic, url, _ = world.subscribed(RawMessageDelivery="true")
    world.sns.publish(TopicArn=topic, Message="x" * 262_144)
    equal(len(received(world.sqs, url)), 1)
    equal(refused("InvalidParameter", world.sns.publish, TopicArn=topic, Message="x" * 262_145)["Error"]["Message"], "Invalid parameter: Message too long")
    refused("InvalidParameter", world.sns.publish, TopicArn=topic, Message="")
    refused("InvalidParameter", world.sns.publish, TopicArn=topic, Message="m", Subject="x" * 101)
    attribute = {"a": {"DataType": "Text", "StringValue": "x"}}
    refused("ParameterValueInvalid", world.sns.publish, TopicArn=topic, Message="m", MessageAttributes=attribute)
    refused("NotFound", world.sns.publish, TopicArn=ACCOUNT.format("sns", "none"), Message="m")
    refused("NotFound", world.sns.subscribe, TopicArn=ACCOUNT.format("sns", "none"), Protocol="sqs", Endpoint="none")


@check
def topics_have_tags(world):
    topic = world.topic()
    world.sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    world.sns.untag_resource(ResourceArn=topic, TagKeys=["a"])
    equal(world.sns.list_tags_for_resource(ResourceArn=topic)["Tags"], [{"Key": "b", "Value": "2"}])


@check
def the_aws_cli_publishes(world):
    topic, url, _ = world.subscribed(RawMessageDelivery="true")
    answer = aws_cli(world.endpoint)("sns", "publish", "--topic-arn", topic, "--message", "from the CLI")
    equal("MessageId" in answer, True)
    equal([it["Body"] for it in received(world.sqs, url)], ["from the CLI"])


@check
def an_operation_that_is_not_here_is_told_so(world):
    refused("InvalidAction", world.sns.list_platform_applications)


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
