//! What an author is told of a pattern that is refused: every fault, its place, what is allowed, and what to write.

use taskferry_event_pattern::EventPattern;

/// Each fault as `line:column message`, with its hint behind `; `.
#[track_caller]
fn check(pattern: &str, expected: &[&str]) {
    let errors = EventPattern::check(pattern).expect_err("the pattern is refused");
    let lines: Vec<String> = errors
        .iter()
        .map(|error| {
            let hint = error.hint().map_or(String::new(), |hint| format!("; {hint}"));
            format!("{}:{} {error}{hint}", error.line(), error.column())
        })
        .collect();
    assert_eq!(lines, expected);
    assert_eq!(EventPattern::parse(pattern).as_ref(), Err(&errors[0]));
    for error in &errors {
        assert!(pattern.is_char_boundary(error.offset()));
    }
}

#[test]
fn every_fault_is_told_at_once_in_the_order_of_the_text() {
    check(
        r#"{
  "source": "aws.s3",
  "detail": {
    "bucket": { "name": [] },
    "object": {
      "key": [{ "prefx": "in/" }, { "suffix": 5 }, [".jpg"]],
      "size": [{ "numeric": [">", "5", "<<", 9] }]
    },
    "reason": [{ "anything-but": ["a", 1, null] }],
    "é": {}
  }
}"#,
        &[
            "2:13 expected an array of values or an object of fields, found a string at source; \
             put the value into an array: [\"aws.s3\"]",
            "4:25 found an empty array, which no value can match at detail.bucket.name; \
             [{\"exists\": true}] matches any value, [{\"exists\": false}] no value",
            "6:17 unknown operator `prefx` at detail.object.key[0]; did you mean `prefix`?",
            "6:47 `suffix` takes a string, found a number at detail.object.key[1].suffix; \
             `suffix` is about strings: \"5\"",
            "6:52 expected a string, number, true, false, null or an operator, found an array \
             at detail.object.key[2]; the values stand side by side in one array",
            "7:35 `numeric` takes a number here, found a string \
             at detail.object.size[0].numeric[1]; numbers are not quoted",
            "7:40 `numeric` takes `=`, `<`, `<=`, `>` or `>=`, found `<<` \
             at detail.object.size[0].numeric[2]",
            "9:40 `anything-but` takes strings or numbers, not both in one list \
             at detail.reason[0].anything-but[1]; \
             a string never equals a number; keep those of the event's kind",
            "9:43 `anything-but` takes strings or numbers, found null \
             at detail.reason[0].anything-but[2]",
            "10:10 found an empty object, which has no field to match at detail.é; \
             a field that every event has: {\"source\": [{\"prefix\": \"\"}]}",
        ],
    );
}

#[test]
fn faults_in_the_branches_of_an_or_are_told_too() {
    check(
        r#"{"$or":[{"a":1},{"b":[{"exists":"yes"}]},2],"c":[{"cidr":"10.0.0.1"}]}"#,
        &[
            "1:14 expected an array of values or an object of fields, found a number at $or[0].a; \
             put the value into an array: [1]",
            "1:33 `exists` takes true or false, found a string at $or[1].b[0].exists; \
             true and false are not quoted",
            "1:42 `$or` takes objects, found a number at $or[2]",
            "1:58 a network is written as an address, `/` and a number of bits at c[0].cidr; \
             a single address is written as a plain string, without bits",
        ],
    );
}

#[test]
fn an_or_that_is_none_is_shown_how() {
    check(
        r#"{"$or":{"a":[1]},"b":{"$or":[]}}"#,
        &[
            "1:8 `$or` takes an array of at least two objects, found an object at $or; \
             list the alternatives: \"$or\": [{…}, {…}]",
            "1:29 `$or` takes at least two objects, found 0 at b.$or",
        ],
    );
}

#[test]
fn what_is_beyond_a_bound_is_told_once() {
    let fields: Vec<_> = (0..300).map(|index| format!("\"k{index:03}\":[1]")).collect();
    check(
        &format!("{{{},\"z\":1}}", fields.join(",")),
        &[
            "1:2825 more than 256 fields in one combination at k256",
            "1:3306 expected an array of values or an object of fields, found a number at z; \
             put the value into an array: [1]",
        ],
    );
}

#[track_caller]
fn check_syntax(pattern: &str, message: &str) {
    let message = format!("1:{message}");
    check(pattern, &[&message]);
}

#[test]
fn text_that_is_not_json_is_shown_how() {
    check_syntax(
        "{'a':['x']}",
        "2 the pattern is not JSON: expected a name in double quotes, found `'`; \
         strings and names are in double quotes: \"…\"",
    );
    check_syntax(
        "{source: [1]}",
        "2 the pattern is not JSON: expected a name in double quotes, found `s`; \
         put it into double quotes: \"source\"",
    );
    check_syntax(
        r#"{"a":[True]}"#,
        "7 the pattern is not JSON: expected a JSON value, found `T`; write `true`",
    );
    check_syntax(
        r#"{"a":[1],}"#,
        "10 the pattern is not JSON: expected a name in double quotes, found `}`; \
         leave out the comma before it",
    );
    check_syntax(
        r#"{"a":[1] "b":[2]}"#,
        "10 the pattern is not JSON: expected `,` or `}`, found `\"`; \
         a comma or colon is missing before it",
    );
    check_syntax(
        r#"{"a":[1] // one"#,
        "10 the pattern is not JSON: expected `,` or `}`, found `/`; JSON has no comments",
    );
    check_syntax(
        r#"{"a":[01]}"#,
        "8 the pattern is not JSON: expected the end of the number, found `1`; \
         numbers are written like 5, -0.5 or 1e3, without `+` or a zero in front",
    );
    check_syntax(
        r#"{"a":["x"#,
        "9 the pattern is not JSON: expected a closing double quote, found the end of the text; \
         the text is cut off: a quote or bracket is still open",
    );
    check_syntax(
        "",
        "1 the pattern is not JSON: expected a JSON value, found the end of the text; \
         a pattern is an object: {\"source\": [\"…\"]}",
    );
    check_syntax(
        r#""{\"a\":[1]}""#,
        "1 a pattern is an object, found a string; leave out the quotes around the pattern",
    );
}

#[test]
fn a_text_full_of_faults_is_told_in_good_time() {
    let pattern = format!("{{\"a\":[{}[]]}}", "[],".repeat(10_000));
    assert_eq!(EventPattern::check(&pattern).expect_err("each element is refused").len(), 10_001);
}
