"""Holds an S3 endpoint against what boto3, with its defaults, expects of S3.

usage: check_s3.py --endpoint-url URL

Prints a line per check and a sum at the end; exits 1 if a check failed. It makes buckets of its own, with random
names, and deletes them.
"""

import base64
import concurrent.futures
import datetime
import hashlib
import http.client
import io
import os
import pathlib
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid
import xml.etree.ElementTree
import zlib

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from checks import check, command_line, equal, perform_all  # noqa: E402

PART = 5 * 1024 * 1024


class World:
    """A bucket of a check's own, and clients."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.address = urllib.parse.urlsplit(endpoint)
        self.s3 = self.client()
        self.bucket = "check-" + uuid.uuid4().hex[:20]
        self.s3.create_bucket(Bucket=self.bucket)

    def client(self, style="path", **options):
        config = Config(s3={"addressing_style": style, **options.pop("s3", {})}, retries={"total_max_attempts": 1}, **options)
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1",
            aws_access_key_id="any", aws_secret_access_key="credentials", config=config,
        )

    def put(self, key, body=b"", **more):
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **more)

    def get(self, key, **more):
        return self.s3.get_object(Bucket=self.bucket, Key=key, **more)

    def body(self, key):
        return self.get(key)["Body"].read()

    def head(self, key, **more):
        return self.s3.head_object(Bucket=self.bucket, Key=key, **more)

    def keys(self, **more):
        return [o["Key"] for o in self.s3.list_objects_v2(Bucket=self.bucket, **more).get("Contents", [])]

    def raw(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=30)
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    def close(self):
        empty(self.s3, self.bucket)


def empty(s3, bucket):
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for o in page.get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=o["Key"])
    s3.delete_bucket(Bucket=bucket)


def refused(code, call, *arguments, status=None, **keywords):
    try:
        call(*arguments, **keywords)
    except ClientError as error:
        found = error.response["Error"]["Code"]
        assert found == code, f"refused with {found}, not {code}: {error}"
        if status is not None:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, error.response
        return error
    raise AssertionError(f"not refused with {code}")


def md5(data):
    return hashlib.md5(data).hexdigest()


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


# Buckets


@check
def bucket_made_found_listed_and_deleted(w):
    name = "check-" + uuid.uuid4().hex[:12]
    made = w.s3.create_bucket(Bucket=name)
    equal(made["Location"], "/" + name)
    equal(w.s3.head_bucket(Bucket=name)["BucketRegion"], "us-east-1")
    assert name in [b["Name"] for b in w.s3.list_buckets()["Buckets"]]
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html: made again in us-east-1 it is no error.
    equal(w.s3.create_bucket(Bucket=name)["Location"], "/" + name)
    elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    refused("BucketAlreadyOwnedByYou", w.s3.create_bucket, Bucket=name, **elsewhere, status=409)
    west = "check-" + uuid.uuid4().hex[:12]
    w.s3.create_bucket(Bucket=west, **elsewhere)
    refused("BucketAlreadyOwnedByYou", w.s3.create_bucket, Bucket=west, status=409)
    w.s3.delete_bucket(Bucket=west)
    for location in ["us-east-1", "Europe"]:
        nowhere = {"CreateBucketConfiguration": {"LocationConstraint": location}}
        refused("InvalidLocationConstraint", w.s3.create_bucket, Bucket="check-nowhere", **nowhere, status=400)
    w.s3.delete_bucket(Bucket=name)
    refused("404", w.s3.head_bucket, Bucket=name)
    refused("NoSuchBucket", w.s3.delete_bucket, Bucket=name, status=404)


@check
def bucket_with_objects_is_not_deleted(w):
    w.put("a")
    refused("BucketNotEmpty", w.s3.delete_bucket, Bucket=w.bucket, status=409)


@check
def bucket_names_are_checked(w):
    for name in ["ab", "UPPER", "a..b", "192.168.0.1", "-abc", "abc-", "x" * 64, "a_b_c"]:
        status, _, body = w.raw("PUT", "/" + name)
        equal((name, status), (name, 400))
        assert b"<Code>InvalidBucketName</Code>" in body and b"<Message>" in body, body


@check
def bucket_location(w):
    equal(w.s3.get_bucket_location(Bucket=w.bucket)["LocationConstraint"], None)
    name = "check-" + uuid.uuid4().hex[:12]
    w.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    equal(w.s3.get_bucket_location(Bucket=name)["LocationConstraint"], "eu-central-1")
    w.s3.delete_bucket(Bucket=name)


@check
def bucket_listing_pages(w):
    names = sorted(f"pages-{uuid.uuid4().hex[:6]}-{n}" for n in range(3))
    for name in names:
        w.s3.create_bucket(Bucket=name)
    found = []
    for page in w.s3.get_paginator("list_buckets").paginate(Prefix="pages-", PaginationConfig={"PageSize": 2}):
        found += [b["Name"] for b in page["Buckets"]]
    assert set(names) <= set(found) and found == sorted(found), found
    for name in names:
        w.s3.delete_bucket(Bucket=name)


@check
def bucket_is_unversioned(w):
    assert "Status" not in w.s3.get_bucket_versioning(Bucket=w.bucket)


@check
def no_such_bucket_everywhere(w):
    gone = {"Bucket": "gone-" + uuid.uuid4().hex}
    refused("NoSuchBucket", w.s3.put_object, Key="k", Body=b"x", **gone)
    refused("NoSuchBucket", w.s3.get_object, Key="k", **gone)
    refused("NoSuchBucket", w.s3.delete_object, Key="k", **gone)
    refused("NoSuchBucket", w.s3.list_objects_v2, **gone)
    refused("NoSuchBucket", w.s3.list_objects, **gone)
    refused("NoSuchBucket", w.s3.create_multipart_upload, Key="k", **gone)
    refused("NoSuchBucket", w.s3.list_multipart_uploads, **gone)
    refused("NoSuchBucket", w.s3.get_bucket_location, **gone)
    refused("NoSuchBucket", w.s3.delete_objects, Delete={"Objects": [{"Key": "k"}]}, **gone)
    refused("NoSuchBucket", w.s3.copy_object, Key="k", CopySource=f"{w.bucket}/k", **gone)


# Objects


@check
def object_put_and_got(w):
    put = w.put("a/b.txt", b"hello", ContentType="text/plain", Metadata={"who": "me"}, CacheControl="no-cache",
                ContentDisposition="attachment", ContentEncoding="identity", ContentLanguage="ko",
                Expires=datetime.datetime(2031, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc))
    equal(put["ETag"], '"5d41402abc4b2a76b9719d911017c592"')
    got = w.get("a/b.txt")
    equal(got["Body"].read(), b"hello")
    equal(got["ContentLength"], 5)
    equal(got["ETag"], put["ETag"])
    equal(got["ContentType"], "text/plain")
    equal(got["Metadata"], {"who": "me"})
    equal((got["CacheControl"], got["ContentDisposition"], got["ContentLanguage"]), ("no-cache", "attachment", "ko"))
    equal(got["ContentEncoding"], "identity")
    equal(got["ExpiresString"], "Thu, 02 Jan 2031 03:04:05 GMT")
    equal(got["AcceptRanges"], "bytes")
    assert abs((datetime.datetime.now(datetime.timezone.utc) - got["LastModified"]).total_seconds()) < 60
    head = w.head("a/b.txt")
    for field in ["ContentLength", "ETag", "ContentType", "Metadata", "CacheControl", "LastModified", "ContentEncoding"]:
        equal(head[field], got[field])


@check
def object_without_content_type(w):
    w.put("a")
    equal(w.get("a")["ContentType"], "binary/octet-stream")


@check
def object_empty(w):
    equal(w.put("empty")["ETag"], '"d41d8cd98f00b204e9800998ecf8427e"')
    equal(w.body("empty"), b"")
    equal(w.head("empty")["ContentLength"], 0)


@check
def object_replaced(w):
    w.put("a", b"one", Metadata={"x": "1"})
    w.put("a", b"second")
    got = w.get("a")
    equal((got["Body"].read(), got["Metadata"]), (b"second", {}))


@check
def object_of_many_blocks(w):
    data = os.urandom(3_000_001)
    equal(w.put("big", data)["ETag"].strip('"'), md5(data))
    equal(w.body("big"), data)


@check
def object_streamed_up_in_aws_chunks(w):
    s3 = w.client(s3={"payload_signing_enabled": True})
    data = os.urandom(300_000)
    s3.upload_fileobj(io.BytesIO(data), w.bucket, "streamed")
    equal(w.body("streamed"), data)
    assert "ContentEncoding" not in w.head("streamed")


@check
def object_missing(w):
    error = refused("NoSuchKey", w.s3.get_object, Bucket=w.bucket, Key="none", status=404)
    assert error.response["Error"]["Message"], error.response
    refused("404", w.s3.head_object, Bucket=w.bucket, Key="none", status=404)


@check
def object_deleted(w):
    w.put("a")
    equal(w.s3.delete_object(Bucket=w.bucket, Key="a")["ResponseMetadata"]["HTTPStatusCode"], 204)
    refused("NoSuchKey", w.s3.get_object, Bucket=w.bucket, Key="a")
    equal(w.s3.delete_object(Bucket=w.bucket, Key="a")["ResponseMetadata"]["HTTPStatusCode"], 204)


@check
def objects_deleted_together(w):
    # XML has no way to write the others of the control characters.
    keys = [key for key in KEYS if "\u0001" not in key] + [" both ends ", " ", "\t"]
    for key in keys:
        w.put(key)
    answer = w.s3.delete_objects(Bucket=w.bucket, Delete={"Objects": [{"Key": k} for k in keys + ["none"]]})
    equal(sorted(d["Key"] for d in answer["Deleted"]), sorted(keys + ["none"]))
    equal(w.keys(), [])
    w.put("q")
    assert "Deleted" not in w.s3.delete_objects(Bucket=w.bucket, Delete={"Objects": [{"Key": "q"}], "Quiet": True})
    equal(w.keys(), [])


@check
def objects_deleted_together_tell_which_failed(w):
    etag = w.put("a", b"a")["ETag"]
    w.put("b", b"b")
    answer = w.s3.delete_objects(
        Bucket=w.bucket, Delete={"Objects": [{"Key": "a", "ETag": etag}, {"Key": "b", "ETag": etag}]})
    equal([d["Key"] for d in answer["Deleted"]], ["a"])
    equal([(e["Key"], e["Code"]) for e in answer["Errors"]], [("b", "PreconditionFailed")])
    equal(w.keys(), ["b"])


@check
def objects_deleted_together_are_a_thousand_at_most(w):
    objects = [{"Key": str(n)} for n in range(1001)]
    refused("MalformedXML", w.s3.delete_objects, Bucket=w.bucket, Delete={"Objects": objects})


@check
def metadata_in_unicode_and_too_large(w):
    w.put("a", Metadata={"plain": "a b  c", "empty": ""})
    equal(w.head("a")["Metadata"], {"plain": "a b  c", "empty": ""})
    refused("MetadataTooLarge", w.put, "b", Metadata={"x": "y" * 2048}, status=400)


@check
def unknown_operations_are_not_implemented(w):
    refused("NotImplemented", w.s3.get_bucket_website, Bucket=w.bucket, status=501)
    refused("NotImplemented", w.s3.put_bucket_versioning, Bucket=w.bucket,
            VersioningConfiguration={"Status": "Enabled"}, status=501)
    refused("NotImplemented", w.put, "a", b"", SSECustomerAlgorithm="AES256", SSECustomerKey="k" * 32, status=501)


@check
def another_owner_is_denied(w):
    w.put("a", b"x", ExpectedBucketOwner="000000000000")
    refused("AccessDenied", w.put, "a", b"y", ExpectedBucketOwner="111111111111", status=403)
    equal(w.body("a"), b"x")


@check
def lists_without_an_encoding_have_every_key(w):
    for key in ["cr\rlf", "tab\t", "nl\n", "<&>", " "]:
        w.put(key)
    status, _, body = w.raw("GET", f"/{w.bucket}?list-type=2")
    found = [e.text for e in xml.etree.ElementTree.fromstring(body).iter() if e.tag.endswith("Key")]
    equal(found, [" ", "<&>", "cr\rlf", "nl\n", "tab\t"])


@check
def only_the_null_version_is_there(w):
    w.put("a", b"x")
    equal(w.get("a", VersionId="null")["Body"].read(), b"x")
    refused("NoSuchVersion", w.s3.get_object, Bucket=w.bucket, Key="a", VersionId="3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY")
    refused("InvalidArgument", w.s3.get_object, Bucket=w.bucket, Key="a", VersionId="none", status=400)


@check
def an_error_tells_what_it_is_about(w):
    w.put("a", b"0123456789")
    get, put = w.s3.get_object, w.s3.put_object
    for code, call, asked, told in [
        ("NoSuchKey", get, {"Key": "n ö&"}, {"Key": "n ö&", "Message": "The specified key does not exist."}),
        ("NoSuchBucket", get, {"Bucket": "no-bucket-of", "Key": "x"}, {"BucketName": "no-bucket-of"}),
        ("NoSuchKey", w.s3.copy_object, {"Key": "b", "CopySource": w.bucket + "/source"}, {"Key": "source"}),
        ("InvalidRange", get, {"Key": "a", "Range": "bytes=10-"}, {"RangeRequested": "bytes=10-", "ActualObjectSize": "10"}),
        ("PreconditionFailed", get, {"Key": "a", "IfMatch": '"o"'}, {"Condition": "If-Match"}),
        ("PreconditionFailed", put, {"Key": "a", "IfNoneMatch": "*"}, {"Condition": "If-None-Match"}),
        ("PreconditionFailed", w.s3.copy_object, {"Key": "b", "CopySource": w.bucket + "/a", "CopySourceIfMatch": '"o"'},
         {"Condition": "x-amz-copy-source-If-Match"}),
        ("InvalidStorageClass", put, {"Key": "b", "StorageClass": "COLD"}, {"StorageClassRequested": "COLD"}),
        ("InvalidTag", put, {"Key": "b", "Tagging": "aws:a=b"}, {"Message": "Your TagKey cannot be prefixed with aws:"}),
        ("NoSuchUpload", w.s3.list_parts, {"Key": "a", "UploadId": "u"}, {"UploadId": "u"}),
        ("InvalidArgument", w.s3.upload_part, {"Key": "a", "UploadId": "u", "PartNumber": 10001},
         {"ArgumentName": "partNumber", "ArgumentValue": "10001"}),
        ("InvalidArgument", w.s3.list_objects_v2, {"ContinuationToken": "none"},
         {"Message": "The continuation token provided is incorrect"}),
    ]:
        error = refused(code, call, **{"Bucket": w.bucket, **asked}).response["Error"]
        equal({name: error.get(name) for name in told}, told)


@check
def an_etag_is_known_without_its_quotes(w):
    etag = w.put("a", b"x")["ETag"]
    for given in [etag, etag.strip('"'), etag[1:], etag[:-1]]:
        equal(w.get("a", IfMatch=given)["ETag"], etag)
        refused("304", w.s3.get_object, Bucket=w.bucket, Key="a", IfNoneMatch=given, status=304)


@check
def the_head_of_a_range_is_partial(w):
    w.put("a", b"0123456789")
    for asked, told in [({"Range": "bytes=2-4"}, (206, "bytes 2-4/10")), ({"PartNumber": 1}, (206, "bytes 0-9/10")), ({}, (200, None))]:
        head = w.s3.head_object(Bucket=w.bucket, Key="a", **asked)["ResponseMetadata"]
        equal((head["HTTPStatusCode"], head["HTTPHeaders"].get("content-range")), told)
    for whole in ["bytes=-", "bytes=4-2", "bytes=0-1,3-4"]:
        equal(w.get("a", Range=whole)["ResponseMetadata"]["HTTPStatusCode"], 200)


@check
def the_etag_among_the_attributes_has_no_quotes(w):
    etag = w.put("a", b"x")["ETag"].strip('"')
    equal(w.s3.get_object_attributes(Bucket=w.bucket, Key="a", ObjectAttributes=["ETag"])["ETag"], etag)


# Keys

KEYS = [
    "plain", "a", "a/b", "a/", "/", "//", "/lead", "a//b", "..", "../up", "a/../b", ".", "./x", "with space", "plus+plus",
    "per%cent", "%2F", "%20", "q?x=1&y=2", "#hash", "semi;colon", "한글 파일.csv", "e\u0301 vs \u00e9", "emoji 🦀🚢.txt",
    "\u0001control", "tab\there", "new\nline", "cr\rlf", "back\\slash", "quote'\"", "<xml>&amp;", "~tilde!*()", "\U0010ffff",
    "k" * 1024, "한" * 341, "trailing.", "CON", "x/" * 400,
]


@check
def keys_of_all_kinds(w):
    for key in KEYS:
        w.put(key, key.encode())
    for key in KEYS:
        equal((key, w.body(key)), (key, key.encode()))
        equal(w.head(key)["ContentLength"], len(key.encode()))
    expected = sorted(KEYS, key=lambda key: key.encode())
    equal(w.keys(), expected)
    paged = [o["Key"] for page in w.s3.get_paginator("list_objects_v2").paginate(
        Bucket=w.bucket, PaginationConfig={"PageSize": 3}) for o in page["Contents"]]
    equal(paged, expected)
    v1 = [o["Key"] for page in w.s3.get_paginator("list_objects").paginate(
        Bucket=w.bucket, PaginationConfig={"PageSize": 4}) for o in page["Contents"]]
    equal(v1, expected)
    for key in KEYS:
        w.s3.copy_object(Bucket=w.bucket, Key="copy", CopySource={"Bucket": w.bucket, "Key": key})
        equal((key, w.body("copy")), (key, key.encode()))
        w.s3.delete_object(Bucket=w.bucket, Key=key)
    equal(w.keys(), ["copy"])


@check
def key_longer_than_1024_bytes(w):
    refused("KeyTooLongError", w.put, "k" * 1025, status=400)
    refused("KeyTooLongError", w.put, "한" * 342, status=400)


@check
def key_that_is_not_utf8(w):
    status, _, body = w.raw("PUT", f"/{w.bucket}/%ff", body=b"")
    equal((status, b"InvalidURI" in body), (400, True))


# Ranges and conditions


@check
def ranges(w):
    data = bytes(range(256)) * 4096
    w.put("a", data)
    for header, expected in [
        ("bytes=0-0", data[:1]), ("bytes=10-19", data[10:20]), ("bytes=1048570-", data[1048570:]),
        ("bytes=-7", data[-7:]), ("bytes=-9999999", data), ("bytes=5-99999999", data[5:]),
        ("bytes=1000-900000", data[1000:900001]),
    ]:
        got = w.get("a", Range=header)
        equal((header, got["Body"].read() == expected), (header, True))
        equal(got["ResponseMetadata"]["HTTPStatusCode"], 206)
        equal(got["ContentLength"], len(expected))
    equal(w.get("a", Range="bytes=10-19")["ContentRange"], f"bytes 10-19/{len(data)}")
    equal(w.head("a", Range="bytes=10-19")["ContentLength"], 10)
    refused("InvalidRange", w.s3.get_object, Bucket=w.bucket, Key="a", Range=f"bytes={len(data)}-", status=416)
    refused("InvalidRange", w.s3.get_object, Bucket=w.bucket, Key="a", Range="bytes=-0", status=416)
    for ignored in ["bytes=5-2", "bytes=0-1,5-6", "lines=1-2", "bytes=x-"]:
        got = w.get("a", Range=ignored)
        equal((got["ResponseMetadata"]["HTTPStatusCode"], got["ContentLength"]), (200, len(data)))


@check
def reads_with_conditions(w):
    etag = w.put("a", b"x")["ETag"]
    modified = w.head("a")["LastModified"]
    hour = datetime.timedelta(hours=1)
    for call, missed in [(w.s3.get_object, "PreconditionFailed"), (w.s3.head_object, "412")]:
        a = {"Bucket": w.bucket, "Key": "a"}
        call(IfMatch=etag, **a)
        refused(missed, call, IfMatch='"other"', status=412, **a)
        call(IfNoneMatch='"other"', **a)
        refused("304", call, IfNoneMatch=etag, status=304, **a)
        call(IfModifiedSince=modified - hour, **a)
        refused("304", call, IfModifiedSince=modified, status=304, **a)
        call(IfUnmodifiedSince=modified, **a)
        refused(missed, call, IfUnmodifiedSince=modified - hour, status=412, **a)
        call(IfMatch=etag, IfUnmodifiedSince=modified - hour, **a)
        refused("304", call, IfNoneMatch=etag, IfModifiedSince=modified - hour, status=304, **a)


@check
def not_modified_has_the_etag_and_no_body(w):
    etag = w.put("a", b"x")["ETag"]
    status, headers, body = w.raw("GET", f"/{w.bucket}/a", headers={"If-None-Match": etag})
    equal((status, body), (304, b""))
    equal({k.lower(): v for k, v in headers.items()}["etag"], etag)


@check
def response_headers_overridden(w):
    w.put("a", b"x")
    got = w.get("a", ResponseContentType="text/html", ResponseCacheControl="max-age=1",
                ResponseContentDisposition='attachment; filename="f"', ResponseContentLanguage="de",
                ResponseContentEncoding="gzip", ResponseExpires=datetime.datetime(2030, 1, 1))
    equal((got["ContentType"], got["CacheControl"], got["ContentDisposition"]),
          ("text/html", "max-age=1", 'attachment; filename="f"'))
    equal((got["ContentLanguage"], got["ContentEncoding"]), ("de", "gzip"))


@check
def writes_with_conditions(w):
    etag = w.put("a", b"1", IfNoneMatch="*")["ETag"]
    refused("PreconditionFailed", w.put, "a", b"2", IfNoneMatch="*", status=412)
    refused("PreconditionFailed", w.put, "a", b"2", IfMatch='"other"', status=412)
    refused("NoSuchKey", w.put, "b", b"2", IfMatch=etag, status=404)
    equal(w.body("a"), b"1")
    w.put("a", b"2", IfMatch=etag)
    equal(w.body("a"), b"2")
    refused("NotImplemented", w.put, "a", b"2", IfNoneMatch=etag)
    refused("PreconditionFailed", w.s3.delete_object, Bucket=w.bucket, Key="a", IfMatch=etag, status=412)
    w.s3.delete_object(Bucket=w.bucket, Key="a", IfMatch=w.head("a")["ETag"])
    equal(w.keys(), [])


@check
def of_racing_creations_one_wins(w):
    clients = [w.client() for _ in range(16)]
    for turn in range(5):
        start = threading.Barrier(len(clients))

        def race(n):
            start.wait()
            try:
                clients[n].put_object(Bucket=w.bucket, Key=f"race{turn}", Body=str(n).encode() * 50_000, IfNoneMatch="*")
                return n
            except ClientError as error:
                equal(error.response["Error"]["Code"], "PreconditionFailed")
                return None

        with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
            winners = [n for n in pool.map(race, range(len(clients))) if n is not None]
        equal(len(winners), 1)
        equal(w.body(f"race{turn}"), str(winners[0]).encode() * 50_000)


@check
def readers_see_one_object_or_the_other_while_it_is_replaced(w):
    bodies = [bytes([n]) * 700_000 for n in range(4)]
    w.put("a", bodies[0])
    done = threading.Event()

    def write():
        s3 = w.client()
        for turn in range(30):
            s3.put_object(Bucket=w.bucket, Key="a", Body=bodies[turn % 4])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        got = w.get("a")
        body = got["Body"].read()
        assert body in bodies and md5(body) == got["ETag"].strip('"')
    writer.join()


# Checksums


@check
def checksums_by_default(w):
    data = b"some bytes"
    put = w.put("a", data)
    equal(put["ChecksumCRC32"], crc32(data))
    equal(put["ChecksumType"], "FULL_OBJECT")
    head = w.head("a", ChecksumMode="ENABLED")
    equal((head["ChecksumCRC32"], head["ChecksumType"]), (crc32(data), "FULL_OBJECT"))
    assert "ChecksumCRC32" not in w.client(response_checksum_validation="when_required").head_object(
        Bucket=w.bucket, Key="a")
    assert "ChecksumCRC32" not in w.get("a", Range="bytes=0-1", ChecksumMode="ENABLED")


@check
def checksums_of_the_other_algorithms(w):
    data = os.urandom(1000)
    for algorithm, digest in [("SHA1", hashlib.sha1), ("SHA256", hashlib.sha256)]:
        value = base64.b64encode(digest(data).digest()).decode()
        equal(w.put("a", data, ChecksumAlgorithm=algorithm)["Checksum" + algorithm], value)
        equal(w.head("a", ChecksumMode="ENABLED")["Checksum" + algorithm], value)
        equal(w.body("a"), data)
    equal(w.put("a", b"123456789", ChecksumCRC32C="4waSgw==")["ChecksumCRC32C"], "4waSgw==")
    equal(w.put("a", b"123456789", ChecksumCRC64NVME="rosUhgp5mIg=")["ChecksumCRC64NVME"], "rosUhgp5mIg=")


@check
def checksum_when_the_client_sends_none(w):
    s3 = w.client(request_checksum_calculation="when_required")
    put = s3.put_object(Bucket=w.bucket, Key="a", Body=b"123456789")
    equal(put["ChecksumCRC64NVME"], "rosUhgp5mIg=")


@check
def bad_digests_leave_the_old_object_whole(w):
    w.put("a", b"old")
    s3 = w.client(request_checksum_calculation="when_required")
    put = lambda **more: s3.put_object(Bucket=w.bucket, Key="a", Body=b"new", **more)
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    refused("BadDigest", put, ContentMD5=wrong, status=400)
    refused("InvalidDigest", put, ContentMD5="abc", status=400)
    refused("InvalidDigest", put, ContentMD5="YWJj", status=400)
    refused("BadDigest", put, ChecksumCRC32=crc32(b"other"), status=400)
    refused("BadDigest", put, ChecksumSHA256=base64.b64encode(bytes(32)).decode(), status=400)
    refused("InvalidRequest", put, ChecksumCRC32="AAAA", status=400)
    refused("InvalidRequest", put, ChecksumCRC32="not base64", status=400)
    status, _, body = w.raw("PUT", f"/{w.bucket}/a", b"new", {"x-amz-content-sha256": "0" * 64})
    equal((status, b"XAmzContentSHA256Mismatch" in body), (400, True))
    equal(w.body("a"), b"old")
    put(ContentMD5=base64.b64encode(hashlib.md5(b"new").digest()).decode())
    equal(w.body("a"), b"new")


def chunked(pieces, trailer=None, signed=True):
    body = b""
    for piece in [*pieces, b""]:
        signature = b";chunk-signature=" + b"0" * 64 if signed else b""
        body += b"%x%s\r\n" % (len(piece), signature)
        body += piece + b"\r\n" if piece else b""
    for name, value in (trailer or {}).items():
        body += f"{name}:{value}\r\n".encode()
    return body + b"\r\n"


@check
def aws_chunked_bodies_are_decoded(w):
    data = [b"x" * 70_000, b"y" * 3]
    whole = b"".join(data)
    common = {"x-amz-decoded-content-length": str(len(whole)), "content-encoding": "aws-chunked,gzip"}
    status, _, body = w.raw("PUT", f"/{w.bucket}/signed", chunked(data),
                            {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", **common})
    equal((status, body), (200, b""))
    equal((w.body("signed"), w.head("signed")["ContentEncoding"]), (whole, "gzip"))
    unsigned = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-trailer": "x-amz-checksum-crc32", **common}
    good = chunked(data, {"x-amz-checksum-crc32": crc32(whole)}, signed=False)
    equal(w.raw("PUT", f"/{w.bucket}/trailer", good, unsigned)[0], 200)
    equal(w.body("trailer"), whole)
    equal(w.head("trailer", ChecksumMode="ENABLED")["ChecksumCRC32"], crc32(whole))
    bad = chunked(data, {"x-amz-checksum-crc32": crc32(b"other")}, signed=False)
    status, _, body = w.raw("PUT", f"/{w.bucket}/trailer", bad, unsigned)
    equal((status, b"BadDigest" in body), (400, True))
    missing = chunked(data, signed=False)
    status, _, body = w.raw("PUT", f"/{w.bucket}/trailer", missing, unsigned)
    equal((status, b"MalformedTrailerError" in body), (400, True))
    for broken in [good[:1000], good[5:], b"zz\r\n", b"5\r\nhello-and-more\r\n0\r\n\r\n", b"", b"0\r\n\r\n"]:
        status, _, body = w.raw("PUT", f"/{w.bucket}/trailer", broken, unsigned)
        equal((status, b"<Code>" in body), (400, True))
    equal(w.body("trailer"), whole)


@check
def upload_without_a_length_is_refused(w):
    status, _, body = w.raw("PUT", f"/{w.bucket}/a", iter([b"abc"]))
    equal((status, b"MissingContentLength" in body), (411, True))


# Copies


@check
def copy_takes_over_and_replaces(w):
    w.put("a", b"x", ContentType="text/plain", Metadata={"m": "1"}, Tagging="t=1")
    w.s3.copy_object(Bucket=w.bucket, Key="b", CopySource=f"{w.bucket}/a")
    got = w.get("b")
    equal((got["Body"].read(), got["ContentType"], got["Metadata"], got["TagCount"]), (b"x", "text/plain", {"m": "1"}, 1))
    answer = w.s3.copy_object(Bucket=w.bucket, Key="b", CopySource=f"{w.bucket}/a", MetadataDirective="REPLACE",
                              Metadata={"m": "2"}, TaggingDirective="REPLACE", Tagging="")
    equal(answer["CopyObjectResult"]["ETag"], w.head("a")["ETag"])
    got = w.get("b")
    equal((got["ContentType"], got["Metadata"]), ("binary/octet-stream", {"m": "2"}))
    assert "TagCount" not in got


@check
def copy_onto_itself_must_change_something(w):
    w.put("a", b"x")
    source = f"{w.bucket}/a"
    refused("InvalidRequest", w.client(request_checksum_calculation="when_required").copy_object,
            Bucket=w.bucket, Key="a", CopySource=source, status=400)
    w.s3.copy_object(Bucket=w.bucket, Key="a", CopySource=source, MetadataDirective="REPLACE", Metadata={"n": "1"})
    equal((w.body("a"), w.head("a")["Metadata"]), (b"x", {"n": "1"}))


@check
def copy_with_conditions(w):
    etag = w.put("a", b"x")["ETag"]
    copy = lambda **more: w.s3.copy_object(Bucket=w.bucket, Key="b", CopySource=f"{w.bucket}/a", **more)
    copy(CopySourceIfMatch=etag)
    refused("PreconditionFailed", copy, CopySourceIfMatch='"o"', status=412)
    refused("PreconditionFailed", copy, CopySourceIfNoneMatch=etag, status=412)
    refused("PreconditionFailed", copy, IfNoneMatch="*", status=412)
    hour = datetime.timedelta(hours=1)
    refused("PreconditionFailed", copy, CopySourceIfUnmodifiedSince=w.head("a")["LastModified"] - hour, status=412)


@check
def copy_of_nothing(w):
    refused("NoSuchKey", w.s3.copy_object, Bucket=w.bucket, Key="b", CopySource=f"{w.bucket}/none", status=404)
    refused("NoSuchBucket", w.s3.copy_object, Bucket=w.bucket, Key="b", CopySource="gone-bucket-x/none", status=404)


@check
def copy_of_an_object_in_parts_has_a_plain_etag(w):
    data = os.urandom(PART + 10)
    w.s3.upload_fileobj(io.BytesIO(data), w.bucket, "a", Config=TransferConfig(multipart_threshold=PART, multipart_chunksize=PART))
    assert w.head("a")["ETag"].endswith('-2"')
    w.s3.copy_object(Bucket=w.bucket, Key="b", CopySource=f"{w.bucket}/a")
    equal(w.head("b")["ETag"].strip('"'), md5(data))


# Lists


@check
def list_rolls_up_at_a_delimiter(w):
    for key in ["a", "b/1", "b/2", "b/c/3", "d/", "e", "f/x/y"]:
        w.put(key)
    page = w.s3.list_objects_v2(Bucket=w.bucket, Delimiter="/")
    equal([o["Key"] for o in page["Contents"]], ["a", "e"])
    equal([p["Prefix"] for p in page["CommonPrefixes"]], ["b/", "d/", "f/"])
    equal(page["KeyCount"], 5)
    page = w.s3.list_objects_v2(Bucket=w.bucket, Delimiter="/", Prefix="b/")
    equal([o["Key"] for o in page["Contents"]], ["b/1", "b/2"])
    equal([p["Prefix"] for p in page["CommonPrefixes"]], ["b/c/"])
    page = w.s3.list_objects_v2(Bucket=w.bucket, Delimiter="x/", Prefix="f")
    equal([p["Prefix"] for p in page["CommonPrefixes"]], ["f/x/"])
    equal(w.keys(Prefix="b/c"), ["b/c/3"])
    equal(w.keys(Prefix="nothing"), [])


@check
def list_pages_at_every_size(w):
    keys = [f"{d}/{n}" for d in "abc" for n in range(3)] + ["top", "z 1", "z+2"]
    for key in keys:
        w.put(key)
    everything = [("p", "a/"), ("p", "b/"), ("p", "c/"), ("k", "top"), ("k", "z 1"), ("k", "z+2")]
    for size in range(1, 8):
        for operation in ["list_objects_v2", "list_objects"]:
            found = []
            for page in w.s3.get_paginator(operation).paginate(
                    Bucket=w.bucket, Delimiter="/", PaginationConfig={"PageSize": size}):
                here = [("p", p["Prefix"]) for p in page.get("CommonPrefixes", [])]
                here += [("k", o["Key"]) for o in page.get("Contents", [])]
                assert len(here) <= size
                found += sorted(here, key=lambda entry: entry[1])
            equal((operation, size, found), (operation, size, everything))
            plain = [o["Key"] for page in w.s3.get_paginator(operation).paginate(
                Bucket=w.bucket, PaginationConfig={"PageSize": size}) for o in page["Contents"]]
            equal(plain, sorted(keys))


@check
def list_of_more_than_a_page(w):
    keys = sorted(f"{n:04}" for n in range(1005))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(w.put, keys))
    page = w.s3.list_objects_v2(Bucket=w.bucket, MaxKeys=5000)
    equal((page["IsTruncated"], page["KeyCount"], page["MaxKeys"]), (True, 1000, 1000))
    rest = w.s3.list_objects_v2(Bucket=w.bucket, ContinuationToken=page["NextContinuationToken"])
    equal([o["Key"] for o in page["Contents"] + rest["Contents"]], keys)
    equal(rest["IsTruncated"], False)
    page = w.s3.list_objects_v2(Bucket=w.bucket, Delimiter="9", MaxKeys=1000)
    equal(page["IsTruncated"], False)
    w.s3.delete_objects(Bucket=w.bucket, Delete={"Objects": [{"Key": k} for k in keys[:1000]]})


@check
def list_starts_after_a_key(w):
    for key in ["a", "b", "b/1", "c"]:
        w.put(key)
    equal(w.keys(StartAfter="b"), ["b/1", "c"])
    equal(w.keys(StartAfter="aa"), ["b", "b/1", "c"])
    equal(w.keys(StartAfter="zz"), [])
    page = w.s3.list_objects_v2(Bucket=w.bucket, StartAfter="b/", Delimiter="/")
    equal(page.get("CommonPrefixes"), None)
    equal([o["Key"] for o in page["Contents"]], ["c"])
    equal([o["Key"] for o in w.s3.list_objects(Bucket=w.bucket, Marker="b")["Contents"]], ["b/1", "c"])


@check
def list_of_no_keys_and_bad_arguments(w):
    w.put("a")
    page = w.s3.list_objects_v2(Bucket=w.bucket, MaxKeys=0)
    equal((page["KeyCount"], page["IsTruncated"]), (0, False))
    refused("InvalidArgument", w.s3.list_objects_v2, Bucket=w.bucket, MaxKeys=-1, status=400)
    refused("InvalidArgument", w.s3.list_objects_v2, Bucket=w.bucket, ContinuationToken="nonsense", status=400)


@check
def list_shows_what_it_should(w):
    put = w.put("a", b"abc", StorageClass="STANDARD_IA")
    page = w.s3.list_objects_v2(Bucket=w.bucket, FetchOwner=True, Prefix="a")
    entry = page["Contents"][0]
    equal((entry["ETag"], entry["Size"], entry["StorageClass"]), (put["ETag"], 3, "STANDARD_IA"))
    assert entry["Owner"]["ID"] and entry["LastModified"] == w.head("a")["LastModified"]
    equal((page["Name"], page["Prefix"], page["MaxKeys"]), (w.bucket, "a", 1000))
    assert "Owner" not in w.s3.list_objects_v2(Bucket=w.bucket)["Contents"][0]


# Multipart uploads


def upload_parts(w, key, upload, parts, **more):
    done = []
    for number, data in parts:
        part = w.s3.upload_part(Bucket=w.bucket, Key=key, UploadId=upload, PartNumber=number, Body=data, **more)
        done.append({"PartNumber": number, "ETag": part["ETag"]})
    return done


def complete(w, key, upload, parts, **more):
    return w.s3.complete_multipart_upload(Bucket=w.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **more)


@check
def multipart_upload(w):
    upload = w.s3.create_multipart_upload(Bucket=w.bucket, Key="a b", ContentType="text/x", Metadata={"m": "1"}, Tagging="t=v")["UploadId"]
    first, second = os.urandom(PART), os.urandom(123)
    parts = upload_parts(w, "a b", upload, [(2, second), (1, b"replaced later"), (1, first)])
    assert w.keys() == []
    done = complete(w, "a b", upload, [parts[2], parts[0]])
    etag = hashlib.md5(hashlib.md5(first).digest() + hashlib.md5(second).digest()).hexdigest() + "-2"
    equal((done["ETag"], done["Key"], done["Bucket"]), (f'"{etag}"', "a b", w.bucket))
    got = w.get("a b")
    equal(got["Body"].read() == first + second, True)
    equal((got["ContentType"], got["Metadata"], got["TagCount"], got["ETag"]), ("text/x", {"m": "1"}, 1, done["ETag"]))
    equal("Uploads" in w.s3.list_multipart_uploads(Bucket=w.bucket), False)
    refused("NoSuchUpload", upload_parts, w, "a b", upload, [(3, b"late")], status=404)


@check
def multipart_upload_by_the_transfer_manager(w):
    data = os.urandom(3 * PART + 77)
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=4)
    w.s3.upload_fileobj(io.BytesIO(data), w.bucket, "t", Config=config)
    into = io.BytesIO()
    w.s3.download_fileobj(w.bucket, "t", into, Config=config)
    equal(into.getvalue() == data, True)
    w.s3.copy({"Bucket": w.bucket, "Key": "t"}, w.bucket, "u", Config=config)
    equal(w.body("u") == data, True)
    assert w.head("u")["ETag"].endswith('-4"')


@check
def multipart_parts_are_read_one_by_one(w):
    upload = w.s3.create_multipart_upload(Bucket=w.bucket, Key="a")["UploadId"]
    first, second = os.urandom(PART), b"second"
    complete(w, "a", upload, upload_parts(w, "a", upload, [(1, first), (2, second)]))
    got = w.get("a", PartNumber=2)
    equal((got["Body"].read(), got["PartsCount"]), (second, 2))
    equal(got["ContentRange"], f"bytes {PART}-{PART + 5}/{PART + 6}")
    equal(w.head("a", PartNumber=1)["ContentLength"], PART)
    refused("InvalidPartNumber", w.s3.get_object, Bucket=w.bucket, Key="a", PartNumber=3, status=416)
    attributes = w.s3.get_object_attributes(Bucket=w.bucket, Key="a", ObjectAttributes=["ETag", "ObjectSize", "ObjectParts", "Checksum", "StorageClass"])
    equal((attributes["ObjectSize"], attributes["ObjectParts"]["TotalPartsCount"]), (PART + 6, 2))
    equal([p["Size"] for p in attributes["ObjectParts"]["Parts"]], [PART, 6])


@check
def multipart_rules(w):
    upload = w.s3.create_multipart_upload(Bucket=w.bucket, Key="a")["UploadId"]
    parts = upload_parts(w, "a", upload, [(1, b"small"), (2, b"last")])
    refused("EntityTooSmall", complete, w, "a", upload, parts, status=400)
    refused("InvalidPartOrder", complete, w, "a", upload, parts[::-1], status=400)
    refused("InvalidPartOrder", complete, w, "a", upload, [parts[0], parts[0]], status=400)
    refused("InvalidPart", complete, w, "a", upload, [{"PartNumber": 3, "ETag": '"x"'}], status=400)
    refused("InvalidPart", complete, w, "a", upload, [{"PartNumber": 1, "ETag": parts[1]["ETag"]}], status=400)
    refused("MalformedXML", complete, w, "a", upload, [], status=400)
    for number in [0, 10_001]:
        refused("InvalidArgument", w.s3.upload_part, Bucket=w.bucket, Key="a", UploadId=upload, PartNumber=number, Body=b"")
    refused("InvalidRequest", complete, w, "a", upload, parts[:1], MpuObjectSize=99, status=400)
    refused("NoSuchUpload", complete, w, "b", upload, parts[:1], status=404)
    equal(w.keys(), [])
    complete(w, "a", upload, parts[:1])
    equal(w.body("a"), b"small")


@check
def multipart_aborted(w):
    upload = w.s3.create_multipart_upload(Bucket=w.bucket, Key="a")["UploadId"]
    parts = upload_parts(w, "a", upload, [(1, b"x")])
    w.s3.abort_multipart_upload(Bucket=w.bucket, Key="a", UploadId=upload)
    refused("NoSuchUpload", w.s3.abort_multipart_upload, Bucket=w.bucket, Key="a", UploadId=upload, status=404)
    refused("NoSuchUpload", upload_parts, w, "a", upload, [(1, b"x")], status=404)
    refused("NoSuchUpload", complete, w, "a", upload, parts, status=404)
    refused("NoSuchUpload", w.s3.list_parts, Bucket=w.bucket, Key="a", UploadId=upload, status=404)


@check
def multipart_with_conditions(w):
    w.put("a", b"there")
    upload = w.s3.create_multipart_upload(Bucket=w.bucket, Key="a")["UploadId"]
    parts = upload_parts(w, "a", upload, [(1, b"new")])
    refused("PreconditionFailed", complete, w, "a", upload, parts, IfNoneMatch="*", status=412)
    equal(w.body("a"), b"there")
    done = complete(w, "a", upload, parts, IfMatch=w.head("a")["ETag"])
    equal(w.body("a"), b"new")
    # Whoever did not get the answer asks again.
    again = complete(w, "a", upload, parts, IfNoneMatch="*")
    equal((again["ETag"], again["Location"]), (done["ETag"], done["Location"]))
    w.put("a", b"newer")
    refused("NoSuchUpload", complete, w, "a", upload, parts, status=404)


@check
def multipart_lists(w):
    uploads = {}
    for key in ["a", "a", "b/1", "b/2", "c d"]:
        uploads.setdefault(key, []).append(w.s3.create_multipart_upload(Bucket=w.bucket, Key=key)["UploadId"])
    expected = [(key, id) for key in sorted(uploads) for id in sorted(uploads[key])]
    for size in range(1, 7):
        found = []
        for page in w.s3.get_paginator("list_multipart_uploads").paginate(Bucket=w.bucket, PaginationConfig={"PageSize": size}):
            found += [(u["Key"], u["UploadId"]) for u in page.get("Uploads", [])]
        equal((size, found), (size, expected))
    page = w.s3.list_multipart_uploads(Bucket=w.bucket, Delimiter="/")
    equal([p["Prefix"] for p in page["CommonPrefixes"]], ["b/"])
    equal([u["Key"] for u in page["Uploads"]], ["a", "a", "c d"])
    equal([u["Key"] for u in w.s3.list_multipart_uploads(Bucket=w.bucket, Prefix="b/")["Uploads"]], ["b/1", "b/2"])
    upload = uploads["a"][0]
    upload_parts(w, "a", upload, [(n, bytes([n])) for n in [5, 1, 3]])
    page = w.s3.list_parts(Bucket=w.bucket, Key="a", UploadId=upload, MaxParts=2)
    equal(([p["PartNumber"] for p in page["Parts"]], page["IsTruncated"], page["NextPartNumberMarker"]), ([1, 3], True, 3))
    page = w.s3.list_parts(Bucket=w.bucket, Key="a", UploadId=upload, PartNumberMarker=3)
    equal([(p["PartNumber"], p["Size"], p["ETag"]) for p in page["Parts"]], [(5, 1, f'"{md5(bytes([5]))}"')])
    equal(page["IsTruncated"], False)


@check
def multipart_copies(w):
    data = os.urandom(PART + 1000)
    w.put("src", data)
    upload = w.s3.create_multipart_upload(Bucket=w.bucket, Key="a")["UploadId"]
    copy = lambda number, **more: w.s3.upload_part_copy(
        Bucket=w.bucket, Key="a", UploadId=upload, PartNumber=number, CopySource=f"{w.bucket}/src", **more)["CopyPartResult"]
    one, two = copy(1), copy(2, CopySourceRange="bytes=10-19")
    refused("InvalidRange", copy, 3, CopySourceRange=f"bytes=0-{len(data)}", status=416)
    refused("InvalidArgument", copy, 3, CopySourceRange="bytes=5-", status=400)
    refused("PreconditionFailed", copy, 3, CopySourceIfMatch='"o"', status=412)
    complete(w, "a", upload, [{"PartNumber": 1, "ETag": one["ETag"]}, {"PartNumber": 2, "ETag": two["ETag"]}])
    equal(w.body("a") == data + data[10:20], True)


@check
def multipart_checksums(w):
    first, second = os.urandom(PART), os.urandom(50)
    for kind in ["FULL_OBJECT", "COMPOSITE"]:
        made = w.s3.create_multipart_upload(Bucket=w.bucket, Key="a", ChecksumAlgorithm="CRC32", ChecksumType=kind)
        equal((made["ChecksumAlgorithm"], made["ChecksumType"]), ("CRC32", kind))
        upload, parts = made["UploadId"], []
        for number, data in [(1, first), (2, second)]:
            part = w.s3.upload_part(Bucket=w.bucket, Key="a", UploadId=upload, PartNumber=number, Body=data, ChecksumAlgorithm="CRC32")
            equal(part["ChecksumCRC32"], crc32(data))
            parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
        if kind == "FULL_OBJECT":
            refused("BadDigest", complete, w, "a", upload, parts, ChecksumCRC32=crc32(b"x"), ChecksumType=kind, status=400)
            value = crc32(first + second)
        else:
            joined = b"".join(base64.b64decode(p["ChecksumCRC32"]) for p in parts)
            value = crc32(joined) + "-2"
        done = complete(w, "a", upload, parts)
        equal((done["ChecksumCRC32"], done["ChecksumType"]), (value, kind))
        head = w.head("a", ChecksumMode="ENABLED")
        equal((head["ChecksumCRC32"], head["ChecksumType"]), (value, kind))
        equal(w.body("a") == first + second, True)
    for algorithm in ["CRC32C", "CRC64NVME", "SHA1", "SHA256"]:
        made = w.s3.create_multipart_upload(Bucket=w.bucket, Key="a", ChecksumAlgorithm=algorithm)
        part = w.s3.upload_part(Bucket=w.bucket, Key="a", UploadId=made["UploadId"], PartNumber=1, Body=b"", ChecksumAlgorithm="CRC32")
        complete(w, "a", made["UploadId"], [{"PartNumber": 1, "ETag": part["ETag"]}])
        assert w.head("a", ChecksumMode="ENABLED")["Checksum" + algorithm]
    refused("InvalidRequest", w.s3.create_multipart_upload, Bucket=w.bucket, Key="a", ChecksumAlgorithm="SHA256", ChecksumType="FULL_OBJECT")


# Tags


@check
def tags(w):
    w.put("a", b"", Tagging="k=v&k2=a%20b%2Bc")
    get = lambda: w.s3.get_object_tagging(Bucket=w.bucket, Key="a")["TagSet"]
    equal(get(), [{"Key": "k", "Value": "v"}, {"Key": "k2", "Value": "a b+c"}])
    put = lambda *pairs: w.s3.put_object_tagging(
        Bucket=w.bucket, Key="a", Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in pairs]})
    put(("한", "글"))
    equal(get(), [{"Key": "한", "Value": "글"}])
    refused("BadRequest", put, *[(str(n), "") for n in range(11)], status=400)
    refused("InvalidTag", put, ("a", "1"), ("a", "2"), status=400)
    refused("InvalidTag", put, ("k" * 129, ""), status=400)
    w.s3.delete_object_tagging(Bucket=w.bucket, Key="a")
    equal(get(), [])
    refused("NoSuchKey", w.s3.get_object_tagging, Bucket=w.bucket, Key="none")
    refused("NoSuchKey", w.s3.put_object_tagging, Bucket=w.bucket, Key="none", Tagging={"TagSet": []})


# Credentials, URLs, hosts


@check
def without_credentials(w):
    equal(w.raw("PUT", f"/{w.bucket}/anonymous", b"x")[0], 200)
    status, headers, body = w.raw("GET", f"/{w.bucket}/anonymous")
    equal((status, body), (200, b"x"))
    assert {k.lower() for k in headers} >= {"x-amz-request-id", "x-amz-id-2", "etag", "last-modified"}


@check
def presigned_urls(w):
    for version in ["s3v4", "s3"]:
        s3 = w.client(signature_version=version)
        put = s3.generate_presigned_url("put_object", {"Bucket": w.bucket, "Key": "p q+r%", "ContentType": "text/x"}, ExpiresIn=60)
        request = urllib.request.Request(put, data=b"via url", method="PUT", headers={"Content-Type": "text/x"})
        equal(urllib.request.urlopen(request).status, 200)
        get = s3.generate_presigned_url(
            "get_object", {"Bucket": w.bucket, "Key": "p q+r%", "ResponseContentType": "text/y"}, ExpiresIn=60)
        answer = urllib.request.urlopen(get)
        equal((answer.read(), answer.headers["Content-Type"]), (b"via url", "text/y"))
        delete = s3.generate_presigned_url("delete_object", {"Bucket": w.bucket, "Key": "p q+r%"}, ExpiresIn=60)
        equal(urllib.request.urlopen(urllib.request.Request(delete, method="DELETE")).status, 204)
        equal(w.keys(), [])


@check
def presigned_url_that_has_expired(w):
    w.put("a", b"x")
    path = f"/{w.bucket}/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=x&X-Amz-SignedHeaders=host&X-Amz-Signature=0"
    status, _, body = w.raw("GET", path + "&X-Amz-Date=20200101T000000Z&X-Amz-Expires=60")
    equal((status, b"<Code>AccessDenied</Code>" in body, b"Request has expired" in body), (403, True, True))
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    equal(w.raw("GET", path + f"&X-Amz-Date={now}&X-Amz-Expires=60")[0], 200)
    for wrong in [f"&X-Amz-Date={now}&X-Amz-Expires=604801", "&X-Amz-Date=never&X-Amz-Expires=1", f"&X-Amz-Date={now}"]:
        status, _, body = w.raw("GET", path + wrong)
        equal((status, b"AuthorizationQueryParametersError" in body), (400, True))
    old = f"/{w.bucket}/a?AWSAccessKeyId=x&Signature=y&Expires="
    equal((w.raw("GET", old + "1000000000")[0], w.raw("GET", old + "4000000000")[0]), (403, 200))


@check
def presigned_url_with_headers_in_it(w):
    url = w.s3.generate_presigned_url("put_object", {"Bucket": w.bucket, "Key": "a", "Metadata": {"m": "1"}, "Tagging": "t=1"}, ExpiresIn=60)
    signed = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query)).get("X-Amz-SignedHeaders", "")
    headers = {"x-amz-meta-m": "1", "x-amz-tagging": "t=1"} if "x-amz-meta-m" in signed else {}
    urllib.request.urlopen(urllib.request.Request(url, data=b"x", method="PUT", headers=headers))
    got = w.get("a")
    equal((got["Metadata"], got["TagCount"]), ({"m": "1"}, 1))


@check
def form_of_a_browser(w):
    form = w.s3.generate_presigned_post(w.bucket, "up/${filename}", Conditions=[["starts-with", "$key", "up/"]], ExpiresIn=60)
    boundary = uuid.uuid4().hex
    body = b""
    for name, value in form["fields"].items():
        value = value.replace("${filename}", "f.txt")
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    body += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n'.encode()
    body += f"Content-Type: text/plain\r\n\r\nform data\r\n--{boundary}--\r\n".encode()
    status, _, answer = w.raw("POST", f"/{w.bucket}", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
    equal((status, answer), (204, b""))
    equal(w.body("up/f.txt"), b"form data")


@check
def virtual_hosted_style(w):
    host = {"Host": f"{w.bucket}.localhost:{w.address.port}"}
    equal(w.raw("PUT", "/v/k%20y", b"vh", host)[0], 200)
    equal(w.raw("GET", "/v/k%20y", headers=host)[2], b"vh")
    equal(w.body("v/k y"), b"vh")
    assert b"<Key>v/k y</Key>" in w.raw("GET", "/?list-type=2", headers=host)[2]


@check
def errors_are_complete(w):
    status, headers, body = w.raw("GET", f"/{w.bucket}/no%26pe")
    equal(status, 404)
    for element in [b"<Code>NoSuchKey</Code>", b"<Message>", b"<Resource>", b"<RequestId>", b"<HostId>"]:
        assert element in body, body
    status, headers, body = w.raw("HEAD", f"/{w.bucket}/nope")
    equal((status, body), (404, b""))


@check
def buckets_have_tags(w):
    missing = refused("NoSuchTagSet", w.s3.get_bucket_tagging, Bucket=w.bucket, status=404).response["Error"]
    equal((missing["Message"], missing["BucketName"]), ("The TagSet does not exist", w.bucket))

    def put(*tags):
        tags = [{"Key": key, "Value": value} for key, value in tags]
        return w.s3.put_bucket_tagging(Bucket=w.bucket, Tagging={"TagSet": tags})["ResponseMetadata"]["HTTPStatusCode"]

    equal(put(("team", "a"), ("empty", "")), 204)
    expected = [{"Key": "team", "Value": "a"}, {"Key": "empty", "Value": ""}]
    equal(w.s3.get_bucket_tagging(Bucket=w.bucket)["TagSet"], expected)
    refused("InvalidTag", put, ("a", "1"), ("a", "2"))
    refused("InvalidTag", put, ("aws:a", "1"))
    refused("InvalidTag", put, ("k" * 129, "1"))
    refused("BadRequest", put, *((str(tag), "") for tag in range(51)))
    equal(w.s3.get_bucket_tagging(Bucket=w.bucket)["TagSet"], expected)
    equal(put(*((str(tag), "") for tag in range(50))), 204)
    equal(w.s3.delete_bucket_tagging(Bucket=w.bucket)["ResponseMetadata"]["HTTPStatusCode"], 204)
    refused("NoSuchTagSet", w.s3.get_bucket_tagging, Bucket=w.bucket, status=404)
    refused("NoSuchBucket", w.s3.get_bucket_tagging, Bucket="no-" + w.bucket, status=404)
    # They go with their bucket.
    put(("team", "a"))
    w.s3.delete_bucket(Bucket=w.bucket)
    w.s3.create_bucket(Bucket=w.bucket)
    refused("NoSuchTagSet", w.s3.get_bucket_tagging, Bucket=w.bucket, status=404)


@check
def versions_of_a_bucket_that_has_none(w):
    keys = ["a", "b/1", "b/2", "c +ü"]
    for key in keys:
        w.put(key, key.encode())
    answer = w.s3.list_object_versions(Bucket=w.bucket)
    equal([version["Key"] for version in answer["Versions"]], keys)
    equal({(version["VersionId"], version["IsLatest"]) for version in answer["Versions"]}, {("null", True)})
    equal((answer["IsTruncated"], "DeleteMarkers" in answer), (False, False))
    equal(answer["Versions"][0]["ETag"], w.head("a")["ETag"])
    pages = w.s3.get_paginator("list_object_versions").paginate(Bucket=w.bucket, PaginationConfig={"PageSize": 1})
    equal([version["Key"] for page in pages for version in page["Versions"]], keys)
    answer = w.s3.list_object_versions(Bucket=w.bucket, Delimiter="/", MaxKeys=2)
    equal(([it["Key"] for it in answer["Versions"]], [it["Prefix"] for it in answer["CommonPrefixes"]]), (["a"], ["b/"]))
    answer = w.s3.list_object_versions(Bucket=w.bucket, Delimiter="/", KeyMarker=answer["NextKeyMarker"])
    equal([it["Key"] for it in answer["Versions"]], keys[3:])
    refused("InvalidArgument", w.s3.list_object_versions, Bucket=w.bucket, VersionIdMarker="null")
    refused("NoSuchBucket", w.s3.list_object_versions, Bucket="no-" + w.bucket, status=404)
    # What a client empties a bucket with.
    boto3.resource("s3", endpoint_url=w.endpoint, region_name="us-east-1", aws_access_key_id="a",
                   aws_secret_access_key="a").Bucket(w.bucket).object_versions.delete()
    equal(w.keys(), [])


@check
def a_composite_checksum_among_the_attributes_has_no_count(w):
    upload = w.s3.create_multipart_upload(Bucket=w.bucket, Key="a", ChecksumAlgorithm="SHA256")["UploadId"]
    part = w.s3.upload_part(Bucket=w.bucket, Key="a", UploadId=upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA256")
    parts = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}]
    w.s3.complete_multipart_upload(Bucket=w.bucket, Key="a", UploadId=upload, MultipartUpload={"Parts": parts})
    digest = base64.b64encode(hashlib.sha256(hashlib.sha256(b"x").digest()).digest()).decode()
    equal(w.head("a", ChecksumMode="ENABLED")["ChecksumSHA256"], digest + "-1")
    attributes = w.s3.get_object_attributes(Bucket=w.bucket, Key="a", ObjectAttributes=["Checksum"])["Checksum"]
    equal((attributes["ChecksumSHA256"], attributes["ChecksumType"]), (digest, "COMPOSITE"))
    equal(w.s3.head_bucket(Bucket=w.bucket)["ResponseMetadata"]["HTTPHeaders"]["content-type"], "application/xml")


@check
def what_is_archived_is_not_read(w):
    for number, storage_class in enumerate(["GLACIER", "DEEP_ARCHIVE"]):
        key = str(number)
        w.put(key, b"cold", StorageClass=storage_class)
        error = refused("InvalidObjectState", w.get, key, status=403)
        equal(error.response["Error"]["StorageClass"], storage_class)
        refused("ObjectNotInActiveTierError", w.s3.copy_object, Bucket=w.bucket, Key="copy",
                CopySource={"Bucket": w.bucket, "Key": key}, status=403)
        equal(w.head(key)["StorageClass"], storage_class)
    w.put("at once", b"cold", StorageClass="GLACIER_IR")
    equal(w.body("at once"), b"cold")


@check
def buckets_are_listed_by_region(w):
    there = w.bucket + "-eu"
    w.s3.create_bucket(Bucket=there, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    try:
        listed = {}
        for region in ["us-east-1", "eu-west-1", "eu-west-2"]:
            listed[region] = {it["Name"] for it in w.s3.list_buckets(BucketRegion=region, Prefix=w.bucket)["Buckets"]}
        equal(listed, {"us-east-1": {w.bucket}, "eu-west-1": {there}, "eu-west-2": set()})
    finally:
        w.s3.delete_bucket(Bucket=there)


@check
def a_document_that_breaks_off_is_the_clients_fault(w):
    import socket
    w.put("a", b"old")
    for path, document in [("?delete", b"<Delete><Object><Key>a</Key>"), ("?tagging", b"<Tagging>"), ("/a?tagging", b"<Tagging>")]:
        method = "POST" if path == "?delete" else "PUT"
        status, _, answer = w.raw(method, f"/{w.bucket}{path}", document)
        equal((status, b"<Code>MalformedXML</Code>" in answer), (400, True))
        with socket.create_connection((w.address.hostname, w.address.port), timeout=30) as connection:
            head = f"{method} /{w.bucket}{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
            connection.sendall(head.encode() + document)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.makefile("rb").read()
        equal((answer[9:12], b"<Code>IncompleteBody</Code>" in answer), (b"400", True))
    equal(w.body("a"), b"old")


@check
def body_that_breaks_off_changes_nothing(w):
    w.put("a", b"old")
    import socket
    connection = socket.create_connection((w.address.hostname, w.address.port))
    connection.sendall(f"PUT /{w.bucket}/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\npart".encode())
    connection.close()
    equal(w.body("a"), b"old")


def main():
    given = command_line(__doc__)

    def perform(test):
        world = World(given.endpoint_url)
        test(world)
        world.close()

    perform_all(given, perform)


if __name__ == "__main__":
    main()
