"""A bucket's notifications as boto3 sees them: put, shown, and what reaches queues and topics.

Run against `taskferry dev`: `check_notifications.py --endpoint-url URL`. Prints one line per check and a count; exits 1 if
a check failed. Buckets, queues and topics have random names, and are deleted again.
"""

import json
import pathlib
import sys
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from checks import aws_cli, check, command_line, equal, perform_all, received  # noqa: E402

ACCOUNT = "arn:aws:{}:us-east-1:000000000000:{}"
CREATED = ["s3:ObjectCreated:*"]


class World:
    """A bucket of a check's own, and clients."""

    def __init__(self, endpoint):
        def client(service, **options):
            config = Config(retries={"total_max_attempts": 1}, **options)
            return boto3.client(
                service, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="any",
                aws_secret_access_key="any", config=config,
            )

        self.s3, self.sqs, self.sns = client("s3", s3={"addressing_style": "path"}), client("sqs"), client("sns")
        self.aws = aws_cli(endpoint)
        self.bucket = "check-" + uuid.uuid4().hex[:20]
        self.s3.create_bucket(Bucket=self.bucket)
        self.queues, self.topics = [], []

    def queue(self):
        name = "check-" + uuid.uuid4().hex[:12]
        url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        self.queues.append(url)
        return url, ACCOUNT.format("sqs", name)

    def configure(self, **configuration):
        self.s3.put_bucket_notification_configuration(Bucket=self.bucket, NotificationConfiguration=configuration)

    def shown(self):
        shown = self.s3.get_bucket_notification_configuration(Bucket=self.bucket)
        shown.pop("ResponseMetadata")
        return shown

    def put(self, key, body=b"hello"):
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def bodies(self, url):
        return [json.loads(message["Body"]) for message in received(self.sqs, url)]

    def records(self, url):
        return [record for body in self.bodies(url) for record in body.get("Records", [])]

    def clean(self):
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for it in page.get("Contents", []):
                self.s3.delete_object(Bucket=self.bucket, Key=it["Key"])
        self.s3.delete_bucket(Bucket=self.bucket)
        for queue in self.queues:
            self.sqs.delete_queue(QueueUrl=queue)
        for topic in self.topics:
            self.sns.delete_topic(TopicArn=topic)


def affixes(prefix=None, suffix=None):
    rules = [{"Name": name, "Value": value} for name, value in [("prefix", prefix), ("suffix", suffix)] if value is not None]
    return {"Key": {"FilterRules": rules}}


def refused(world, **configuration):
    try:
        world.configure(**configuration)
    except ClientError as error:
        equal((error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]), ("InvalidArgument", 400))
        return error.response["Error"]["Message"]
    raise AssertionError("expected InvalidArgument, found success")


@check
def a_configuration_is_tried_out_kept_and_shown(world):
    url, arn = world.queue()
    equal(world.shown(), {})
    world.configure(QueueConfigurations=[{"Id": "q", "QueueArn": arn, "Events": CREATED, "Filter": affixes("in/", ".jpg")}], EventBridgeConfiguration={})
    [test] = world.bodies(url)
    equal((test["Service"], test["Event"], test["Bucket"]), ("Amazon S3", "s3:TestEvent", world.bucket))
    equal(sorted(test), ["Bucket", "Event", "HostId", "RequestId", "Service", "Time"])
    rules = [{"Name": "Prefix", "Value": "in/"}, {"Name": "Suffix", "Value": ".jpg"}]
    equal(world.shown(), {
        "QueueConfigurations": [{"Id": "q", "QueueArn": arn, "Events": CREATED, "Filter": {"Key": {"FilterRules": rules}}}],
        "EventBridgeConfiguration": {},
    })
    world.configure()
    equal(world.shown(), {})
    world.put("in/a.jpg")
    equal(world.bodies(url), [])


@check
def a_queue_gets_the_record_of_a_change(world):
    url, arn = world.queue()
    world.configure(QueueConfigurations=[{"Id": "q", "QueueArn": arn, "Events": CREATED, "Filter": affixes("in/", ".jpg")}])
    world.bodies(url)
    etag = world.put("in/a b+ü.jpg")["ETag"].strip('"')
    world.put("in/a b.txt")
    world.put("out/a.jpg")
    [record] = world.records(url)
    equal(record["s3"]["object"].pop("sequencer") != "", True)
    equal(record["s3"]["object"], {"key": "in/a+b%2B%C3%BC.jpg", "size": 5, "eTag": etag})
    equal((record["eventSource"], record["eventName"], record["eventVersion"]), ("aws:s3", "ObjectCreated:Put", "2.5"))
    equal((record["s3"]["bucket"]["name"], record["s3"]["configurationId"]), (world.bucket, "q"))
    world.put("in/a b.jpg")
    equal(world.records(url)[0]["s3"]["object"]["key"], "in/a+b.jpg")


@check
def each_change_is_told_once(world):
    url, arn = world.queue()
    world.configure(QueueConfigurations=[{"QueueArn": arn, "Events": CREATED + ["s3:ObjectRemoved:*"]}])
    equal(bool(world.shown()["QueueConfigurations"][0]["Id"]), True)
    world.put("a")
    world.s3.copy_object(Bucket=world.bucket, Key="b", CopySource={"Bucket": world.bucket, "Key": "a"})
    upload = world.s3.create_multipart_upload(Bucket=world.bucket, Key="c")["UploadId"]
    part = world.s3.upload_part(Bucket=world.bucket, Key="c", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    world.s3.complete_multipart_upload(
        Bucket=world.bucket, Key="c", UploadId=upload, MultipartUpload={"Parts": [{"ETag": part, "PartNumber": 1}]}
    )
    world.s3.delete_object(Bucket=world.bucket, Key="a")
    world.s3.delete_object(Bucket=world.bucket, Key="none")
    records = sorted(world.records(url), key=lambda it: it["s3"]["object"]["sequencer"])
    equal([it["eventName"] for it in records], [
        "ObjectCreated:Put", "ObjectCreated:Copy", "ObjectCreated:CompleteMultipartUpload", "ObjectRemoved:Delete",
    ])


@check
def a_topic_is_told_under_a_subject(world):
    url, arn = world.queue()
    topic = world.sns.create_topic(Name="check-" + uuid.uuid4().hex[:12])["TopicArn"]
    world.topics.append(topic)
    world.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    world.configure(TopicConfigurations=[{"Id": "t", "TopicArn": topic, "Events": ["s3:ObjectCreated:Put"]}])
    world.put("key")
    test, told = sorted(world.bodies(url), key=lambda it: it["Timestamp"])
    equal(json.loads(test["Message"])["Event"], "s3:TestEvent")
    equal((told["Type"], told["Subject"]), ("Notification", "Amazon S3 Notification"))
    equal(json.loads(told["Message"])["Records"][0]["s3"]["object"]["key"], "key")


@check
def a_function_is_a_destination_beside_the_files_own(world):
    function = ACCOUNT.format("lambda", "function:s3")
    world.configure(LambdaFunctionConfigurations=[{"Id": "f", "LambdaFunctionArn": function, "Events": CREATED}])
    equal(world.shown()["LambdaFunctionConfigurations"][0]["LambdaFunctionArn"], function)
    shown = world.s3.get_bucket_notification_configuration(Bucket="inbox")
    [managed] = shown["LambdaFunctionConfigurations"]
    equal((managed["Id"], managed["LambdaFunctionArn"]), ("taskferry-s3-1", function))
    world.s3.put_bucket_notification_configuration(Bucket="inbox", NotificationConfiguration={})
    again = world.s3.get_bucket_notification_configuration(Bucket="inbox")
    equal(again["LambdaFunctionConfigurations"], [managed])


@check
def what_s3_refuses_is_refused(world):
    _, arn = world.queue()

    def queue(**more):
        return {"QueueArn": arn, "Events": CREATED, **more}

    equal(
        refused(world, QueueConfigurations=[queue(QueueArn=ACCOUNT.format("sqs", "none"))]),
        "Unable to validate the following destination configurations",
    )
    refused(world, TopicConfigurations=[{"TopicArn": ACCOUNT.format("sns", "none"), "Events": CREATED}])
    refused(world, LambdaFunctionConfigurations=[{"LambdaFunctionArn": ACCOUNT.format("lambda", "function:none"), "Events": CREATED}])
    equal(refused(world, QueueConfigurations=[queue(QueueArn="queue")]), "The ARN could not be parsed")
    refused(world, QueueConfigurations=[queue(Events=["s3:Nothing"])])
    refused(world, QueueConfigurations=[queue(Filter={"Key": {"FilterRules": [{"Name": "middle", "Value": "x"}]}})])
    message = refused(world, QueueConfigurations=[queue(Id="a"), queue(Id="b", Events=["s3:ObjectCreated:Put"])])
    equal(message.startswith("Configurations overlap"), True)
    refused(world, QueueConfigurations=[queue(Id="a", Filter=affixes("in/")), queue(Id="b", Filter=affixes(suffix=".x"))])
    equal(world.shown(), {})
    world.configure(QueueConfigurations=[queue(Id="a", Filter=affixes("in/")), queue(Id="b", Filter=affixes("out/"))])


@check
def tags_are_told_of(world):
    url, arn = world.queue()
    world.configure(QueueConfigurations=[{"Id": "q", "QueueArn": arn, "Events": ["s3:ObjectTagging:*"]}])
    etag = world.put("key")["ETag"].strip('"')
    world.s3.put_object_tagging(Bucket=world.bucket, Key="key", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    world.s3.delete_object_tagging(Bucket=world.bucket, Key="key")
    records = world.records(url)
    equal(sorted(it["eventName"] for it in records), ["ObjectTagging:Delete", "ObjectTagging:Put"])
    equal((records[0]["eventVersion"], records[0]["s3"]["object"]), ("2.5", {"key": "key", "eTag": etag}))


@check
def the_aws_cli_puts_and_shows_a_configuration(world):
    _, arn = world.queue()
    configuration = {"QueueConfigurations": [{"Id": "q", "QueueArn": arn, "Events": CREATED}]}
    bucket = ["--bucket", world.bucket]
    world.aws("s3api", "put-bucket-notification-configuration", *bucket, "--notification-configuration", json.dumps(configuration))
    equal(world.aws("s3api", "get-bucket-notification-configuration", *bucket), configuration)


@check
def a_bucket_that_is_not_there_has_none(world):
    try:
        world.s3.get_bucket_notification_configuration(Bucket="none-" + uuid.uuid4().hex)
    except ClientError as error:
        equal(error.response["Error"]["Code"], "NoSuchBucket")
        return
    raise AssertionError("expected NoSuchBucket, found success")


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
