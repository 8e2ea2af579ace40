//! Warm matching allocates nothing, whatever the patterns ask and however the event is made.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use taskferry_event_pattern::{EventPattern, Matcher, Scratch};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PATTERNS: [&str; 14] = [
    r#"{"source":["shop",5,true,null]}"#,
    r#"{"source":[{"prefix":"sh"}],"detail":{"items":{"kind":["book"],"count":[{"numeric":[">",1]}]}}}"#,
    r#"{"detail":{"items":{"kind":["pen"],"sold":[{"exists":false}]}}}"#,
    r#"{"detail":{"items":{"parts":{"a":[1],"b":[2]},"kind":[{"anything-but":["pen"]}]}}}"#,
    r#"{"detail":{"key":[{"suffix":".jpg"},{"wildcard":"*a*t*"}]}}"#,
    r#"{"detail":{"key":[{"equals-ignore-case":"IN/CAT.JPG"}]}}"#,
    r#"{"detail":{"key":[{"prefix":{"equals-ignore-case":"IN/"}},{"suffix":{"equals-ignore-case":"É"}}]}}"#,
    r#"{"detail":{"key":[{"anything-but":{"wildcard":"tmp/*"}}]}}"#,
    r#"{"detail":{"ip":["10.0.0.1",{"cidr":"10.0.0.0/8"},{"cidr":"2001:db8::/32"}]}}"#,
    r#"{"detail":{"size":[{"numeric":["<",10]},{"numeric":["=",1e3]},12345678901234567891]}}"#,
    r#"{"detail":{"$or":[{"key":["in/cat.jpg"]},{"size":[1000]}]},"source":["shop"]}"#,
    r#"{"nothing":[{"exists":false}]}"#,
    r#"{"detail.key":[{"exists":true}],"":["e"]}"#,
    r#"{"text":["a\u00e9\n"]}"#,
];

const EVENTS: [&str; 4] = [
    r#"{"source":"shop","detail":{"key":"in/cat.jpg","size":1000,"ip":"10.0.0.1","items":[{"kind":"pen","count":1,"sold":true},{"kind":"book","count":2}]}}"#,
    r#"{"source":"sh\u006fp","detail":{"key":["tmp/x","IN/\u00c9"],"size":12345678901234567891,"ip":"2001:DB8::1"},"text":"a\u00E9\n","":"e"}"#,
    r#"{"detail":{"items":[{"kind":"book","parts":[{"a":1},{"b":2}]},{"kind":"cup","parts":[{"a":1,"b":2}]},{"kind":"pen"}]},"detail.key":5}"#,
    r#"{"source":[["bank"],[{"x":1}]],"detail":{"unasked":[1,2.5e-7,true,{"deep":[[[]]]}]},"nothing":null}"#,
];

/// Alone in its file, so that no other test allocates meanwhile.
#[test]
fn warm_matching_allocates_nothing() {
    let matcher = Matcher::new(PATTERNS.map(|pattern| EventPattern::parse(pattern).unwrap()));
    let mut scratch = Scratch::default();
    let mut is_met = [false; PATTERNS.len()];
    let mut match_all = || {
        for event in EVENTS {
            for &pattern in matcher.matches_with(&mut scratch, event).unwrap() {
                is_met[pattern] = true;
            }
        }
    };
    // Room changes hands within a search, so that once is not enough.
    (0..3).for_each(|_| match_all());
    let region = Region::new(ALLOCATOR);
    match_all();
    let warm = region.change();
    assert_eq!((warm.allocations, warm.reallocations), (0, 0));
    assert_eq!(is_met, [true; PATTERNS.len()], "each pattern is met, so that it was asked whole");
}
