"""EventBridge and Lambda as boto3 sees them: PutEvents, TestEventPattern, the buses, and Invoke.

Run against `taskferry dev`: `check_eventbridge.py --endpoint-url URL`. Prints one line per check and a count; exits 1 if
a check failed.
"""

import datetime
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from checks import check, client, command_line, equal, perform_all, refused  # noqa: E402

# A function that every `taskferry dev` has, and a payload that it takes and does nothing about.
FUNCTION = "s3"
PAYLOAD = b'{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "check"}'


def entry(**changes):
    members = {"Source": "check", "DetailType": "Checked", "Detail": "{}", **changes}
    return {name: value for name, value in members.items() if value is not None}


def entry_error(events, bad):
    """The error of one bad entry between two good ones."""
    answer = events.put_events(Entries=[entry(), bad, entry()])
    equal(answer["FailedEntryCount"], 1)
    equal([bool(it.get("EventId")) for it in answer["Entries"]], [True, False, True])
    return answer["Entries"][1]["ErrorCode"], answer["Entries"][1]["ErrorMessage"]


@check
def put_events_gives_each_event_an_id(events, **_):
    answer = events.put_events(Entries=[entry(), entry(Time=datetime.datetime.now(), Resources=["arn:a"])])
    equal(answer["FailedEntryCount"], 0)
    equal(len({it["EventId"] for it in answer["Entries"]}), 2)


@check
def put_events_takes_ten_entries(events, **_):
    equal(len(events.put_events(Entries=[entry()] * 10)["Entries"]), 10)


@check
def put_events_refuses_eleven_entries(events, **_):
    refused("ValidationException", events.put_events, Entries=[entry()] * 11)


@check
def put_events_refuses_no_entries(events, **_):
    refused("ValidationException", events.put_events, Entries=[])


@check
def put_events_refuses_more_than_one_megabyte(events, **_):
    detail = json.dumps({"text": "x" * 2**20})
    refused("ValidationException", events.put_events, Entries=[entry(Detail=detail)])


@check
def put_events_takes_nearly_one_megabyte(events, **_):
    detail = json.dumps({"text": '"' * (2**19 - 100)})
    equal(events.put_events(Entries=[entry(Detail=detail)])["FailedEntryCount"], 0)


@check
def an_entry_needs_a_source(events, **_):
    message = "Parameter Source is not valid. Reason: Source is a required argument."
    equal(entry_error(events, entry(Source=None)), ("InvalidArgument", message))


@check
def an_entry_needs_a_detail_type(events, **_):
    message = "Parameter DetailType is not valid. Reason: DetailType is a required argument."
    equal(entry_error(events, entry(DetailType=None)), ("InvalidArgument", message))


@check
def an_entry_needs_a_detail(events, **_):
    message = "Parameter Detail is not valid. Reason: Detail is a required argument."
    equal(entry_error(events, entry(Detail=None)), ("InvalidArgument", message))


@check
def a_detail_is_json(events, **_):
    equal(entry_error(events, entry(Detail="{")), ("MalformedDetail", "Detail is malformed."))


@check
def a_detail_is_an_object(events, **_):
    equal(entry_error(events, entry(Detail="[]")), ("MalformedDetail", "Detail is malformed."))


@check
def sources_of_aws_are_not_for_clients(events, **_):
    equal(entry_error(events, entry(Source="aws.s3"))[0], "NotAuthorizedForSourceException")


@check
def an_unknown_bus_drops_events(events, **_):
    equal(events.put_events(Entries=[entry(EventBusName="nowhere")])["FailedEntryCount"], 0)


@check
def the_default_bus_exists(events, **_):
    arn = "arn:aws:events:us-east-1:000000000000:event-bus/default"
    equal(events.describe_event_bus()["Arn"], arn)
    names = [bus["Name"] for bus in events.list_event_buses()["EventBuses"]]
    equal("default" in names, True)


@check
def an_unknown_bus_cannot_be_described(events, **_):
    refused("ResourceNotFoundException", events.describe_event_bus, Name="nowhere")


EVENT = {
    "id": "1",
    "account": "000000000000",
    "source": "check",
    "time": "2026-11-21T00:00:00Z",
    "region": "us-east-1",
    "resources": [],
    "detail-type": "Checked",
    "detail": {"key": "a/b.csv"},
}


@check
def a_pattern_matches(events, **_):
    for pattern, expected in [
        ({"source": ["check"]}, True),
        ({"source": ["other"]}, False),
        ({"source": ["check"], "detail": {"key": ["a/b.csv"]}}, True),
        ({"detail": {"key": [{"prefix": "a/"}]}}, True),
        ({"detail": {"key": [{"suffix": ".CSV"}]}}, False),
        ({"detail": {"key": [{"suffix": {"equals-ignore-case": ".CSV"}}]}}, True),
        ({"detail": {"key": [{"wildcard": "*/*.csv"}]}}, True),
        ({"detail": {"key": [{"anything-but": {"wildcard": "a/*"}}]}}, False),
        ({"detail": {"$or": [{"key": ["x"]}, {"size": [{"exists": False}]}]}}, True),
    ]:
        answer = events.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(EVENT))
        equal(answer["Result"], expected)


@check
def a_bad_pattern_is_refused_with_its_reason(events, **_):
    for pattern in ['{"source": "check"}', "{", "[]"]:
        response = refused(
            "InvalidEventPatternException",
            events.test_event_pattern,
            EventPattern=pattern,
            Event=json.dumps(EVENT),
        )
        message = response["Error"]["Message"]
        equal(message.startswith("Event pattern is not valid. Reason: "), True)


@check
def a_refusal_tells_every_fault_and_its_place(events, **_):
    response = refused(
        "InvalidEventPatternException",
        events.test_event_pattern,
        EventPattern='{"source": ["check"],\n "detail": {"key": [{"prefx": "a"}], "size": 5}}',
        Event=json.dumps(EVENT),
    )
    equal(
        response["Error"]["Message"],
        "Event pattern is not valid. Reason: unknown operator `prefx` at detail.key[0] (line 2, column 22); "
        "expected an array of values or an object of fields, found a number at detail.size (line 2, column 46)",
    )


@check
def a_pattern_longer_than_the_api_takes_is_refused(events, **_):
    refused(
        "ValidationException",
        events.test_event_pattern,
        EventPattern=json.dumps({"source": ["x" * 4096]}),
        Event=json.dumps(EVENT),
    )


@check
def an_event_to_test_needs_its_fields(events, **_):
    for field in ["id", "account", "source", "time", "region", "detail-type"]:
        event = {name: value for name, value in EVENT.items() if name != field}
        refused(
            "ValidationException",
            events.test_event_pattern,
            EventPattern='{"source": ["check"]}',
            Event=json.dumps(event),
        )


@check
def an_operation_that_is_not_here_is_unknown(events, **_):
    refused("UnknownOperationException", events.list_archives)


@check
def a_function_that_is_not_deployed_is_not_found(functions, **_):
    refused("ResourceNotFoundException", functions.invoke, FunctionName="nowhere", Payload=b"{}")


@check
def a_function_is_invoked(functions, **_):
    answer = functions.invoke(FunctionName=FUNCTION, Payload=PAYLOAD)
    equal(answer["StatusCode"], 200)
    equal(answer["ExecutedVersion"], "$LATEST")
    equal(answer.get("FunctionError"), None)
    equal(json.loads(answer["Payload"].read()), None)


@check
def a_function_that_refuses_its_payload_says_why(functions, **_):
    answer = functions.invoke(FunctionName=FUNCTION, Payload=b'{"check": 1}')
    equal((answer["StatusCode"], answer["FunctionError"]), (200, "Unhandled"))
    equal(json.loads(answer["Payload"].read())["errorType"], "Taskferry.Refused")


@check
def a_function_is_invoked_by_its_arn(functions, **_):
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{FUNCTION}"
    equal(functions.invoke(FunctionName=arn, Payload=PAYLOAD)["StatusCode"], 200)


@check
def a_function_is_invoked_asynchronously(functions, **_):
    answer = functions.invoke(FunctionName=FUNCTION, InvocationType="Event", Payload=PAYLOAD)
    equal(answer["StatusCode"], 202)


@check
def a_dry_run_invokes_nothing(functions, **_):
    answer = functions.invoke(FunctionName=FUNCTION, InvocationType="DryRun")
    equal(answer["StatusCode"], 204)


@check
def a_payload_is_json(functions, **_):
    refused(
        "InvalidRequestContentException", functions.invoke, FunctionName=FUNCTION, Payload=b"{"
    )


@check
def an_asynchronous_payload_is_at_most_one_megabyte(functions, **_):
    refused(
        "RequestTooLargeException",
        functions.invoke,
        FunctionName=FUNCTION,
        InvocationType="Event",
        Payload=json.dumps("x" * 2**20).encode(),
    )


def main():
    given = command_line(__doc__)

    events, functions = client(given.endpoint_url, "events"), client(given.endpoint_url, "lambda")
    perform_all(given, lambda test: test(events=events, functions=functions))


if __name__ == "__main__":
    main()
