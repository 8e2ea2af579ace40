//! EventBridge event patterns: compile and match. Knows JSON, nothing else.
//!
//! A pattern is a JSON object with the shape of the events it is for. Each field holds a list of
//! values and operators, one of which must be met; all fields must be met.
//!
//! ```
//! use taskferry_event_pattern::{EventPattern, Matcher, explain};
//!
//! let uploads = r#"{
//!     "source": ["aws.s3"],
//!     "detail": {
//!         "bucket": { "name": ["uploads"] },
//!         "object": { "key": [{ "suffix": ".jpg" }, { "suffix": ".png" }], "size": [{ "numeric": [">", 0] }] }
//!     }
//! }"#;
//! let removals = r#"{ "detail-type": ["Object Deleted"] }"#;
//! let patterns = [EventPattern::parse(uploads)?, removals.parse()?];
//! let matcher = Matcher::new(patterns.clone());
//!
//! let event = r#"{
//!     "source": "aws.s3",
//!     "detail-type": "Object Created",
//!     "detail": { "bucket": { "name": "uploads" }, "object": { "key": "in/cat.png", "size": 1234 } }
//! }"#;
//! assert_eq!(matcher.matches(event)?, [0]);
//!
//! // Why not the other?
//! let explanation = explain(&patterns[1], event)?;
//! assert_eq!(explanation.leaves[0].found, [r#""Object Created""#]);
//!
//! // Refusals teach, and tell every fault at once.
//! let errors = EventPattern::check(r#"{ "detail": { "key": [{ "prefx": "in/" }], "size": 5 } }"#).unwrap_err();
//! assert_eq!(errors[0].to_string(), "unknown operator `prefx` at detail.key[0]");
//! assert_eq!(errors[0].hint(), Some("did you mean `prefix`?"));
//! assert_eq!((errors[0].line(), errors[0].column()), (1, 25));
//! assert_eq!(errors[1].hint(), Some("put the value into an array: [5]"));
//!
//! // So do patterns that compile and can hardly be meant.
//! let doubtful = EventPattern::parse(r#"{ "source": ["aws.*"] }"#)?;
//! assert_eq!(doubtful.warnings()[0].to_string(), "`*` in a plain string stands for itself at source[0]");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The language
//!
//! | in a field's list | is met by |
//! |---|---|
//! | `"x"`, `{"exactly": "x"}` | that string; a plain string that is an IP address, by any spelling of it |
//! | `5`, `true`, `false`, `null` | that value; `5` by `5.0` and `0.5e1` too, not by `"5"` |
//! | `{"prefix": "x"}`, `{"suffix": "x"}` | strings that begin or end so |
//! | `{"equals-ignore-case": "x"}` | that string in any case; also as the value of `prefix` and `suffix` |
//! | `{"wildcard": "a*z"}` | strings, `*` standing for any characters; `\*` and `\\` are literal |
//! | `{"anything-but": …}` | any value but: a string, a number, a list of either, or `prefix`, `suffix`, `equals-ignore-case`, `wildcard` of a string or list |
//! | `{"numeric": [">", 0, "<=", 5]}` | numbers; `=`, `<`, `<=`, `>`, `>=`, or a range |
//! | `{"exists": true}`, `{"exists": false}` | any value; no value |
//! | `{"cidr": "10.0.0.0/8"}` | IPv4 or IPv6 addresses in the network |
//!
//! `{"$or": [{…}, {…}]}` beside or instead of fields asks for one of the objects. Where the event
//! has an array, one of its elements must meet the field, and fields below one array must be met
//! by the same element.
//!
//! # What may surprise
//!
//! * An object or an empty array is no value: `{"exists": true}` does not match it.
//! * Numbers are compared exactly. One that a double cannot stand for (`12345678901234567891`)
//!   equals its own spelling only and meets no `numeric`; as a bound it is refused.
//! * A name with dots is the same as nesting: `{"a.b": ["x"]}` matches `{"a": {"b": "x"}}`.
//! * The last of two equal names in a pattern wins; in an event all count. Text after the closing
//!   brace of either is ignored.
//! * A lone `/32` or `/128` is not a network; write the address as a plain string.
//!
//! # Where AWS's engine is not followed
//!
//! The verdicts are those of AWS's own engine but for its defects: a string that ends or begins in
//! a quote does not match a shorter one, ignoring case works for every character, a lone surrogate
//! is not a question mark, a network holds addresses of its own family only, the smallest doubles
//! are written as JSON writers do (`5e-324`), an empty name is a name at any depth, and every branch
//! of `$or` counts. The cases are listed one by one in `tests/conformance.rs`.
//!
//! # Bounds
//!
//! A pattern has at most 32 KiB of text, 256 fields in one combination and 1,000 combinations of its
//! `$or`s; an event at most 16 MiB. Both may be nested 128 levels deep. What is beyond is an error,
//! never a panic. EventBridge's own limits, for the length of a pattern and for wildcards, refuse
//! nothing here; [`EventPattern::warnings`] tells of them.
//!
//! Reading an event takes time in proportion to its length, and asking a pattern at most in proportion
//! to the lengths of both, wildcards included. Where several fields lie in the same arrays, the ways to choose
//! elements are followed side by side; a pattern for which that takes more than 50 million steps, or
//! more than 4 million elements held at once, is given up with
//! [`EventError::TooManyCombinations`], the same for the same pattern and event wherever they meet.

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod address;
mod clause;
mod complexity;
mod draft;
mod error;
mod event;
mod explain;
mod hint;
mod index;
mod json;
mod matcher;
mod names;
mod number;
mod operator;
mod parse;
mod scan;
mod search;
mod table;
mod text;
mod trigger;
mod warning;

pub use error::Error;
pub use event::EventError;
pub use explain::{Explanation, Leaf, explain};
pub use matcher::{Matcher, Scratch};
pub use parse::EventPattern;
pub use warning::Warning;
