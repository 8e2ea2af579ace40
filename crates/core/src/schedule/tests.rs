//! The dialect by AWS's documentation, and what holds for every expression. Clocks that change are held against a corpus
//! that other programs wrote, in `tests/schedule.rs`.

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(text: &str, zone: &str) -> Schedule {
    Schedule::parse(text, zone).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The first firings after the beginning of 2027, as the clocks of the zone show them.
#[track_caller]
fn fires(text: &str, zone: &str, expected: &[&str]) {
    let schedule = schedule(text, zone);
    let mut after = at("2026-12-31T23:59:59Z");
    let mut found = Vec::new();
    while found.len() < expected.len()
        && let Some(next) = schedule.next_after(after, Timestamp::UNIX_EPOCH)
    {
        let shown = next.to_zoned(schedule.zone().clone()).strftime("%Y-%m-%d %H:%M");
        found.push(shown.to_string());
        after = next;
    }
    assert_eq!(found, expected, "{text}");
}

#[test]
fn each_wildcard_means_what_the_documentation_says() {
    // Each of the documentation's examples, and what it says of each wildcard.
    fires("cron(15 10 ? * 6L 2027-2028)", "UTC", &["2027-01-29 10:15", "2027-02-26 10:15"]);
    fires("cron(0 10 * * ? *)", "UTC", &["2027-01-01 10:00", "2027-01-02 10:00"]);
    fires("cron(15 12 * * ? *)", "UTC", &["2027-01-01 12:15"]);
    fires("cron(0 18 ? * MON-FRI *)", "UTC", &["2027-01-01 18:00", "2027-01-04 18:00"]);
    fires("cron(0 8 1 * ? *)", "UTC", &["2027-01-01 08:00", "2027-02-01 08:00"]);
    fires("cron(0/15 * * * ? *)", "UTC", &["2027-01-01 00:00", "2027-01-01 00:15"]);
    fires("cron(1/10 * * * ? *)", "UTC", &["2027-01-01 00:01", "2027-01-01 00:11"]);
    fires("cron(0/5 8-17 ? * MON-FRI *)", "UTC", &["2027-01-01 08:00", "2027-01-01 08:05"]);
    // The weekday closest to the third day: a Sunday in January, a Wednesday in February.
    fires("cron(0 9 3W * ? *)", "UTC", &["2027-01-04 09:00", "2027-02-03 09:00"]);
    // The second Tuesday.
    fires("cron(0 9 ? * 3#2 *)", "UTC", &["2027-01-12 09:00", "2027-02-09 09:00"]);
    fires("cron(0 9 ? * TUE#2 *)", "UTC", &["2027-01-12 09:00"]);
    // The last day of the month, and of the week.
    fires(
        "cron(0 9 L * ? *)",
        "UTC",
        &["2027-01-31 09:00", "2027-02-28 09:00", "2027-03-31 09:00"],
    );
    fires("cron(0 9 ? * L *)", "UTC", &["2027-01-02 09:00", "2027-01-09 09:00"]);
    fires("cron(0 9 LW * ? *)", "UTC", &["2027-01-29 09:00", "2027-02-26 09:00"]);
}

#[test]
fn the_nearest_working_day_stays_in_its_month() {
    // 2 January 2027 is a Saturday, 1 May 2027 too, and 31 October 2027 a Sunday.
    fires("cron(0 0 2W 1 ? *)", "UTC", &["2027-01-01 00:00"]);
    fires("cron(0 0 1W 5 ? *)", "UTC", &["2027-05-03 00:00"]);
    fires("cron(0 0 31W 10 ? *)", "UTC", &["2027-10-29 00:00"]);
    // A month without the day has none nearest to it.
    fires("cron(0 0 31W 6,7 ? *)", "UTC", &["2027-07-30 00:00"]);
}

#[test]
fn lists_ranges_steps_and_names_add_up() {
    fires(
        "cron(1,31 0 1,15 jan,JUL ? 2027-2030)",
        "UTC",
        &[
            "2027-01-01 00:01",
            "2027-01-01 00:31",
            "2027-01-15 00:01",
            "2027-01-15 00:31",
            "2027-07-01 00:01",
        ],
    );
    fires(
        "cron(0 22-2 1 1 ? *)",
        "UTC",
        &[
            "2027-01-01 00:00",
            "2027-01-01 01:00",
            "2027-01-01 02:00",
            "2027-01-01 22:00",
            "2027-01-01 23:00",
            "2028-01-01 00:00",
        ],
    );
    fires(
        "cron(0 0 ? * FRI-MON *)",
        "UTC",
        &[
            "2027-01-01 00:00",
            "2027-01-02 00:00",
            "2027-01-03 00:00",
            "2027-01-04 00:00",
            "2027-01-08 00:00",
        ],
    );
    fires(
        "cron(10-30/10 0 1 1 ? *)",
        "UTC",
        &["2027-01-01 00:10", "2027-01-01 00:20", "2027-01-01 00:30", "2028-01-01 00:10"],
    );
    fires("cron(0 0 29 2 ? *)", "UTC", &["2028-02-29 00:00", "2032-02-29 00:00"]);
    fires("cron(0 0 1 1 ? 2027/10)", "UTC", &["2027-01-01 00:00", "2037-01-01 00:00"]);
}

#[test]
fn the_last_year_is_2199() {
    fires("cron(0 0 1 1 ? 2199)", "UTC", &["2199-01-01 00:00"]);
    assert_eq!(
        schedule("cron(0 0 1 1 ? *)", "UTC")
            .next_after(at("2199-01-01T00:00:00Z"), Timestamp::UNIX_EPOCH),
        None
    );
}

#[test]
fn what_never_comes_never_fires() {
    for (text, zone) in [
        ("cron(0 0 31 2 ? *)", "UTC"),
        ("cron(0 0 31W 4,6 ? *)", "UTC"),
        ("cron(0 0 30 2 ? 2027-2100)", "UTC"),
        ("at(2027-03-14T02:30:00)", "America/New_York"),
        // The day itself was skipped, over the date line.
        ("cron(0 12 30 12 ? 2011)", "Pacific/Apia"),
    ] {
        assert!(!schedule(text, zone).fires(), "{text}");
    }
    assert!(schedule("at(2027-03-14T02:30:00)", "UTC").fires());
}

#[test]
fn skipped_hours_are_skipped_and_repeated_ones_come_once() {
    let zone = "America/New_York";
    let next = |text: &str, after: &str| {
        let next = schedule(text, zone).next_after(at(after), Timestamp::UNIX_EPOCH).unwrap();
        next.to_string()
    };
    // 2027-03-14, 02:00 becomes 03:00.
    assert_eq!(next("cron(30 2 * * ? *)", "2027-03-13T12:00:00Z"), "2027-03-15T06:30:00Z");
    assert_eq!(next("cron(0/30 * * * ? *)", "2027-03-14T06:30:00Z"), "2027-03-14T07:00:00Z");
    // 2027-11-07, 02:00 becomes 01:00.
    assert_eq!(next("cron(30 1 * * ? *)", "2027-11-07T00:00:00Z"), "2027-11-07T05:30:00Z");
    assert_eq!(next("cron(30 1 * * ? *)", "2027-11-07T05:30:00Z"), "2027-11-08T06:30:00Z");
    assert_eq!(next("cron(0/30 * * * ? *)", "2027-11-07T05:30:00Z"), "2027-11-07T07:00:00Z");
    // A rate goes by what has passed.
    assert_eq!(next("rate(1 hour)", "2027-11-07T05:30:00Z"), "2027-11-07T06:00:00Z");
    assert_eq!(next("rate(1 day)", "2027-11-07T05:30:00Z"), "2027-11-08T00:00:00Z");
}

#[test]
fn a_rate_begins_when_it_is_made_or_at_its_start() {
    let rate = schedule("rate(5 minutes)", "UTC");
    let made = at("2027-01-01T00:00:30.7Z");
    assert_eq!(rate.first(made), Some(at("2027-01-01T00:00:30Z")));
    assert_eq!(rate.next_after(made, made), Some(at("2027-01-01T00:05:30Z")));
    let start = at("2027-01-01T01:00:00Z");
    let rate = rate.between(Some(start), Some(at("2027-01-01T01:05:00Z")));
    assert_eq!(rate.first(made), Some(start));
    assert_eq!(rate.next_after(start, made), Some(at("2027-01-01T01:05:00Z")));
    assert_eq!(rate.next_after(at("2027-01-01T01:05:00Z"), made), None);
    // One that began before it was made goes on from its start.
    assert_eq!(rate.first(at("2027-01-01T01:02:00Z")), Some(at("2027-01-01T01:05:00Z")));
}

#[test]
fn a_start_and_an_end_are_part_of_the_time() {
    let noon = at("2027-01-01T12:00:00Z");
    let daily = schedule("cron(0 12 * * ? *)", "UTC").between(Some(noon), Some(noon));
    assert_eq!(daily.first(at("2026-01-01T00:00:00Z")), Some(noon));
    assert_eq!(daily.next_after(noon, noon), None);
}

#[test]
fn good_schedules_pass() {
    for text in [
        "rate(5 minutes)",
        "rate(1 day)",
        "at(2027-01-31T09:00:00)",
        "cron(0 3 * * ? *)",
        "cron(0/15 8-18 ? * MON-FRI *)",
        "cron(0 9 L * ? 2027)",
        "cron(0 9 ? * 6L *)",
        "cron(0 9 ? * FRIL *)",
        "cron(0 9 15W * ? *)",
        "cron( 0  9 * * ? * )",
    ] {
        schedule(text, "UTC");
    }
}

#[test]
fn bad_schedules_are_refused() {
    for text in [
        "",
        "hourly",
        "rate(5)",
        "rate(0 minutes)",
        "rate(+5 minutes)",
        "rate(5 seconds)",
        "rate( minutes)",
        "rate(99999999999 days)",
        "cron(60 3 * * ? *)",
        "cron(0 3 * * * *)",
        "cron(0 3 ? * ? *)",
        "cron(0 3 * * ?)",
        "cron(0 3 * 13 ? *)",
        "cron(0 3 * * ? 2200)",
        "cron(0 3 * * ? 2030-2027)",
        "cron(0 3 ? * +MON *)",
        "cron(0/0 3 * * ? *)",
        "cron(0/ 3 * * ? *)",
        "cron(, 3 * * ? *)",
        "cron(0 3 ? * 3#1,6#3 *)",
        "cron(0 3 ? * 3#6 *)",
        "cron(0 3 ? * 3#0 *)",
        "cron(0 3 ? * MON/2 *)",
        "cron(0 3 ? * 8 *)",
        "cron(0 3 0 * ? *)",
        "cron(0 3 32W * ? *)",
        "cron(0 3 W * ? *)",
        "cron(0 3 L-3 * ? *)",
        "cron(* * * * ? *",
        "at(2027-01-31)",
        "at(2027-13-31T09:00:00)",
        "at(2027-01-31T09:00:00Z)",
        "at(2027-01-31 09:00:00)",
        "cron 0 3 * * ? *",
        "cron(０ 3 * * ? *)",
        "at(2027-0\u{e9}-31T09:00:0)",
    ] {
        assert!(Schedule::parse(text, "UTC").is_err(), "{text}");
    }
}

#[test]
fn a_zone_is_spelled_as_in_the_database() {
    for name in ["UTC", "Asia/Seoul", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
        assert!(time_zone(name).is_ok(), "{name}");
    }
    let suggested = |name: &str| match time_zone(name) {
        Err(Error::Zone { nearest, .. }) => nearest,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(suggested("Asia/Seul").as_deref(), Some("Asia/Seoul"));
    assert_eq!(suggested("asia/seoul").as_deref(), Some("Asia/Seoul"));
    assert_eq!(suggested("America/NewYork").as_deref(), Some("America/New_York"));
    assert_eq!(suggested(""), None);
    assert!(time_zone("Mars/Base").is_err());
}

#[track_caller]
fn short(text: &str, expected: &str) {
    assert_eq!(in_aws_form(text).as_deref(), Ok(expected), "{text}");
    schedule(expected, "UTC");
}

#[test]
fn short_forms_stand_for_their_meaning_in_cron() {
    short("@yearly", "cron(0 0 1 1 ? *)");
    short("@annually", "cron(0 0 1 1 ? *)");
    short("@monthly", "cron(0 0 1 * ? *)");
    short("@weekly", "cron(0 0 ? * SUN *)");
    short("@daily", "cron(0 0 * * ? *)");
    short("@hourly", "cron(0 * * * ? *)");
    short("@every 1h30m", "rate(90 minutes)");
    short("@every 1h", "rate(1 hour)");
    short("@every 24h", "rate(1 day)");
    short("@every 5m", "rate(5 minutes)");
    short("*/15 * * * *", "cron(*/15 * * * ? *)");
    short("0 9 1,15 * *", "cron(0 9 1,15 * ? *)");
    short("30 4 * jan mon", "cron(30 4 ? jan MON *)");
    // Sunday is 0 and 7 to cron, and 1 to AWS.
    short("0 9 * * 0", "cron(0 9 ? * SUN *)");
    short("0 9 * * 7", "cron(0 9 ? * SUN *)");
    short("0 9 * * 1-5", "cron(0 9 ? * MON-FRI *)");
    short("0 9 * * 5-7", "cron(0 9 ? * SUN,FRI,SAT *)");
    short("0 9 * * sat-sun", "cron(0 9 ? * SUN,SAT *)");
    short("0 9 * * */2", "cron(0 9 ? * SUN,TUE,THU,SAT *)");
    short("rate(5 minutes)", "rate(5 minutes)");
    short(" cron(0 3 * * ? *) ", "cron(0 3 * * ? *)");
}

#[test]
fn short_forms_that_are_none_are_refused() {
    for text in [
        "@every 90s",
        "@every soon",
        "@every 0m",
        "0 9 1 * 1",
        "0 9 */2 * 1",
        "60 9 * * *",
        "0 9 * * 8",
        "0 9 * * x",
        "0 9 * * 1/0",
        "0 9 * * 1-",
    ] {
        assert!(in_aws_form(text).is_err(), "{text}");
    }
    // Given back, and then no schedule.
    assert!(Schedule::parse(&in_aws_form("@fortnightly").unwrap(), "UTC").is_err());
}

#[test]
fn five_fields_of_unix_get_their_six() {
    let hint = |text: &str| Schedule::parse(text, "UTC").unwrap_err().hint();
    assert!(hint("cron(0 3 * * MON)").contains("`cron(0 3 ? * MON *)`"));
    assert!(hint("cron(0 3 * * *)").contains("`cron(0 3 * * ? *)`"));
    // By which count 1 was meant nobody knows.
    assert!(!hint("cron(0 3 * * 1)").contains("MON"));
}

/// Fields of cron expressions, most of them good.
fn cron() -> impl Strategy<Value = String> {
    let field = |min: u32, max: u32| {
        let value = min..=max;
        prop_oneof![
            Just("*".to_owned()),
            value.clone().prop_map(|v| v.to_string()),
            (value.clone(), value.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            (value.clone(), 1..=max.min(30)).prop_map(|(a, s)| format!("{a}/{s}")),
            (value.clone(), value).prop_map(|(a, b)| format!("{a},{b}")),
        ]
    };
    let days = prop_oneof![
        field(1, 31).prop_map(|day| (day, "?".to_owned())),
        (1..=31_u32).prop_map(|day| (format!("{day}W"), "?".to_owned())),
        prop_oneof![Just("L"), Just("LW")].prop_map(|day| (day.to_owned(), "?".to_owned())),
        (1..=7_u32, 1..=5_u32).prop_map(|(day, n)| ("?".to_owned(), format!("{day}#{n}"))),
        (1..=7_u32).prop_map(|day| ("?".to_owned(), format!("{day}L"))),
        (1..=7_u32, 1..=7_u32).prop_map(|(a, b)| ("?".to_owned(), format!("{a}-{b}"))),
    ];
    (field(0, 59), field(0, 23), days, field(1, 12)).prop_map(
        |(minute, hour, (day, weekday), month)| {
            format!("cron({minute} {hour} {day} {month} {weekday} *)")
        },
    )
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,40}", zone in "\\PC{0,20}") {
        let _parsed = Schedule::parse(&text, &zone);
        let _parsed = Schedule::parse(&format!("cron({text})"), "UTC");
        let _parsed = in_aws_form(&text);
    }

    #[test]
    fn the_next_is_later_and_nothing_lies_between(
        text in cron(),
        zone in prop_oneof![Just("UTC"), Just("America/New_York"), Just("Australia/Lord_Howe"), Just("America/Santiago")],
        second in 1_100_000_000_i64..1_900_000_000,
        share in 0.0..1.0_f64,
    ) {
        let schedule = schedule(&text, zone);
        let after = Timestamp::from_second(second).unwrap();
        if let Some(next) = schedule.next_after(after, Timestamp::UNIX_EPOCH) {
            prop_assert!(next > after);
            // Whoever asks at any time in between is told the same.
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a place between two times")]
            let between = second + ((next.as_second() - second - 1).max(0) as f64 * share) as i64;
            let between = Timestamp::from_second(between).unwrap();
            prop_assert_eq!(schedule.next_after(between, Timestamp::UNIX_EPOCH), Some(next));
        }
    }
}
