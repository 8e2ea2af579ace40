//! The rules and events that engines are measured with: the same in every run.
//!
//! `dispatch` is what this project does: rules over S3's events, one match each. The others have the
//! shape of the field's usual comparison: the features of a map, the lots of a city, and rules about them.

use fastrand::Rng;

/// Rules, and events to match them against.
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) patterns: Vec<String>,
    pub(crate) events: Vec<String>,
}

const SEED: u64 = 20_260_701;
const DISPATCH_EVENTS: usize = 20_000;
/// The lots of the whole city, of which a part is taken.
const LOTS_ALL: usize = 213_068;
const LOTS: usize = LOTS_ALL / 5;

/// All workloads, in the order of the table.
pub(crate) fn all() -> Vec<Workload> {
    let mut all = Vec::new();
    for rules in [10, 100, 1_000, 10_000] {
        all.push(dispatch(&format!("dispatch, {rules} rules"), rules, Shape::Matching));
    }
    all.push(dispatch("dispatch, 1000 rules, no match", 1000, Shape::Missing));
    all.push(dispatch("dispatch, 1000 rules, one bucket", 1000, Shape::OneBucket));
    let lots = lots();
    let mut partial = Vec::new();
    let mut combo = Vec::new();
    for (name, patterns) in RULES {
        let patterns = patterns.map(str::to_owned).to_vec();
        if name != COMPLEX_ARRAYS {
            partial.extend_from_slice(&patterns);
        }
        combo.extend_from_slice(&patterns);
        all.push(Workload { name: name.to_owned(), patterns, events: lots.clone() });
        if name == EXACT {
            all.push(exact_read_whole(&lots));
        }
    }
    all.push(Workload { name: PARTIAL_COMBO.to_owned(), patterns: partial, events: lots.clone() });
    all.push(Workload { name: COMBO.to_owned(), patterns: combo, events: lots });
    all
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// Each event matches one rule, by its bucket.
    Matching,
    /// No rule asks for the event's bucket.
    Missing,
    /// All rules ask for one bucket, and are told apart by the prefix of the key.
    OneBucket,
}

fn dispatch(name: &str, rules: usize, shape: Shape) -> Workload {
    let mut rng = Rng::with_seed(SEED + rules as u64);
    let bucket = |rule: usize| match shape {
        Shape::OneBucket => "shared-bucket".to_owned(),
        _ => format!("bucket-{rule}"),
    };
    let pattern = |rule| {
        format!(
            r#"{{"source":["aws.s3"],"detail-type":["Object Created"],"detail":{{"bucket":{{"name":["{}"]}},"object":{{"key":[{{"prefix":"incoming/{rule}/"}}],"size":[{{"numeric":[">",0]}}]}}}}}}"#,
            bucket(rule)
        )
    };
    let patterns = (0..rules).map(pattern).collect();
    let events = (0..DISPATCH_EVENTS).map(|_| {
        let rule = rng.usize(..rules);
        let bucket = match shape {
            Shape::Missing => format!("other-bucket-{rule}"),
            _ => bucket(rule),
        };
        object_created(&mut rng, rule, &bucket)
    });
    Workload { name: name.to_owned(), patterns, events: events.collect() }
}

fn text(rng: &mut Rng, of: &[u8], length: usize) -> String {
    (0..length).map(|_| char::from(of[rng.usize(..of.len())])).collect()
}

fn object_created(rng: &mut Rng, rule: usize, bucket: &str) -> String {
    const HEX: &[u8] = b"0123456789abcdef";
    const HEX_UPPER: &[u8] = b"0123456789ABCDEF";
    const BASE_62: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const BASE_36: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let id: Vec<String> = [8, 4, 4, 4, 12].iter().map(|&length| text(rng, HEX, length)).collect();
    let (month, day) = (rng.u8(1..=12), rng.u8(1..=28));
    let (hour, minute, second) = (rng.u8(..24), rng.u8(..60), rng.u8(..60));
    let address: Vec<String> = (0..4).map(|_| rng.u8(1..=254).to_string()).collect();
    let reasons = ["PutObject", "CompleteMultipartUpload", "CopyObject"];
    format!(
        concat!(
            r#"{{"version":"0","id":"{id}","detail-type":"Object Created","source":"aws.s3","#,
            r#""account":"111122223333","time":"2026-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z","#,
            r#""region":"eu-central-1","resources":["arn:aws:s3:::{bucket}"],"detail":{{"version":"0","#,
            r#""bucket":{{"name":"{bucket}"}},"object":{{"key":"incoming/{rule}/team=analytics/source=web-frontend/"#,
            r#"table=page_views/dt=2026/{month:02}/{day:02}/part-{part:05}-{hash}.snappy.parquet","#,
            r#""size":{size},"etag":"{etag}","version-id":"{version}","sequencer":"{sequencer}"}},"#,
            r#""request-id":"{request}","requester":"111122223333","source-ip-address":"{address}","reason":"{reason}"}}}}"#
        ),
        id = id.join("-"),
        month = month,
        day = day,
        hour = hour,
        minute = minute,
        second = second,
        bucket = bucket,
        rule = rule,
        part = rng.u32(..100_000),
        hash = text(rng, HEX, 16),
        size = rng.u64(1..=5 << 30),
        etag = text(rng, HEX, 32),
        version = text(rng, BASE_62, 32),
        sequencer = text(rng, HEX_UPPER, 18),
        request = text(rng, BASE_36, 16),
        address = address.join("."),
        reason = reasons[rng.usize(..3)],
    )
}

/// The rules of EXACT, and one for the last field, which no event meets: who stops reading where no
/// rule asks for what follows has to read on.
fn exact_read_whole(lots: &[String]) -> Workload {
    let (_, exact) = RULES[0];
    let mut patterns = exact.map(str::to_owned).to_vec();
    patterns.push(r#"{"geometry":{"firstCoordinates":{"z":["none"]}}}"#.to_owned());
    Workload { name: "EXACT, read whole".to_owned(), patterns, events: lots.to_vec() }
}

/// So many of a share of the whole city.
fn share(of: usize) -> usize {
    (of * LOTS / LOTS_ALL).max(1)
}

/// The streets that rules ask for, and how many lots they have in the whole city.
const STREETS: [(&str, usize); 21] = [
    ("FULTON", 1910),
    ("FUNSTON", 477),
    ("MASON", 2657),
    ("JEFFERSON", 131),
    ("BEACH", 211),
    ("HYDE", 1758),
    ("CHESTNUT", 825),
    ("17TH", 1619),
    ("FOLSOM", 1390),
    ("RHODE ISLAND", 328),
    ("ACTON", 24),
    ("BLAKE", 300),
    ("BLANCHE", 142),
    ("DRAKE", 38),
    ("LAKE", 533),
    ("MAMM", 13),
    ("HARDING", 1963),
    ("ALAMO GO", 682),
    ("WASHINGTON", 4500),
    ("JACKSON", 4200),
    ("UNION", 4044),
];
const SYLLABLES: [&str; 20] = [
    "CA", "LI", "FOR", "NI", "A", "MIS", "SI", "OAK", "ELM", "VAL", "EN", "CIA", "GEA", "RY", "TA",
    "PA", "POST", "HAI", "LO", "RES",
];
const TYPES: [(&str, usize); 7] = [
    ("\"ST\"", 116_386),
    ("\"AVE\"", 60_000),
    ("\"BLVD\"", 6_000),
    ("\"DR\"", 9_000),
    ("\"WAY\"", 7_000),
    ("\"TER\"", 3_000),
    ("\"CT\"", 3_000),
];
const NUMBERS: [(&str, usize); 5] =
    [("1430022", 1), ("2607117", 101), ("2607218", 35), ("3745012", 655), ("VACSTWIL", 1)];

/// As many of each as its share, the rest made up, in any order.
fn column(
    rng: &mut Rng,
    quotas: &[(&str, usize)],
    mut rest: impl FnMut(&mut Rng) -> String,
) -> Vec<String> {
    let repeated = |(value, of): &(&str, usize)| vec![(*value).to_owned(); share(*of)];
    let mut column: Vec<String> = quotas.iter().flat_map(repeated).collect();
    while column.len() < LOTS {
        column.push(rest(rng));
    }
    column.truncate(LOTS);
    rng.shuffle(&mut column);
    column
}

fn between(rng: &mut Rng, least: f64, most: f64) -> f64 {
    least + rng.f64() * (most - least)
}

fn street(rng: &mut Rng) -> String {
    loop {
        let name: String = (0..=rng.usize(..4)).map(|_| SYLLABLES[rng.usize(..20)]).collect();
        let starts = ["AC", "BL", "DR", "FU", "RH"].iter().any(|start| name.starts_with(start));
        let ends = ["ON", "KE", "MM", "ING", "GO"].iter().any(|end| name.ends_with(end));
        if !starts && !ends {
            return name;
        }
    }
}

fn lots() -> Vec<String> {
    let mut rng = Rng::with_seed(SEED);
    let streets = column(&mut rng, &STREETS, street);
    let types = column(&mut rng, &TYPES, |_| "null".to_owned());
    let numbers = column(&mut rng, &NUMBERS, |rng| {
        let letter = if rng.u8(..5) == 0 { "A" } else { "" };
        format!("{:04}{:03}{letter}", rng.u32(1..9_000), rng.u32(1..200))
    });
    let polygons = column(&mut rng, &[("MultiPolygon", 120)], |_| "Polygon".to_owned());
    (0..LOTS).map(|lot| {
        let number = &numbers[lot];
        let points = points(&mut rng, lot);
        let coordinates: Vec<String> =
            points.iter().map(|(x, y)| format!(r#"{{"x":{x},"y":{y},"z":0.0}}"#)).collect();
        let side = if rng.bool() { 'E' } else { 'O' };
        let house =
            if rng.usize(..LOTS_ALL) < 2453 { "441".to_owned() } else { rng.u32(1..5_000).to_string() };
        format!(
            concat!(
                r#"{{"type":"Feature","properties":{{"MAPBLKLOT":"{number}","BLKLOT":"{number}","BLOCK_NUM":"{block}","#,
                r#""LOT_NUM":"{in_block}","FROM_ST":"{house}","TO_ST":"{house}","STREET":"{street}","ST_TYPE":{kind},"#,
                r#""ODD_EVEN":"{side}"}},"geometry":{{"type":"{polygon}","coordinates":[{coordinates}],"#,
                r#""firstCoordinates":{first}}}}}"#
            ),
            number = number,
            block = &number[..4],
            in_block = &number[4..],
            house = house,
            street = streets[lot],
            kind = types[lot],
            side = side,
            polygon = polygons[lot],
            coordinates = coordinates.join(","),
            first = coordinates[0],
        )
    })
    .collect()
}

/// The corners of a lot, the first also the last.
fn points(rng: &mut Rng, lot: usize) -> Vec<(f64, f64)> {
    let (west, east) = match rng.u32(..1000) {
        0..235 => (-122.514, -122.464_72),
        235..700 => (-122.464_7, -122.416_01),
        700..830 => (-122.416, -122.406_31),
        _ => (-122.406_3, -122.37),
    };
    let (x, y) = (between(rng, west, east), between(rng, 37.708, 37.811));
    let corners = match rng.u32(..100) {
        0..30 => 4,
        30..60 => 5,
        60..74 => 6,
        74..84 => 8,
        84..92 => 12,
        92..97 => 20,
        _ => 30,
    };
    let mut points = vec![(x, y)];
    for _ in 0..corners {
        points.push((x + between(rng, -2e-4, 2e-4), y + between(rng, -2e-4, 2e-4)));
    }
    points.push((x, y));
    if lot % 1000 == 7 {
        points[1].0 = -122.429_163_609_223_55;
    }
    if lot == 4242 {
        points[1].1 = 37.729_900_216_217_324;
    }
    points
}

pub(crate) const EXACT: &str = "EXACT";
pub(crate) const COMPLEX_ARRAYS: &str = "COMPLEX_ARRAYS";
pub(crate) const PARTIAL_COMBO: &str = "PARTIAL_COMBO";
pub(crate) const COMBO: &str = "COMBO";

/// The rules about the lots, by what they ask of them.
const RULES: [(&str, [&str; 5]); 8] = [
    (
        EXACT,
        [
            r#"{"properties":{"MAPBLKLOT":["1430022"]}}"#,
            r#"{"properties":{"MAPBLKLOT":["2607117"]}}"#,
            r#"{"properties":{"MAPBLKLOT":["2607218"]}}"#,
            r#"{"properties":{"MAPBLKLOT":["3745012"]}}"#,
            r#"{"properties":{"MAPBLKLOT":["VACSTWIL"]}}"#,
        ],
    ),
    (
        "WILDCARD",
        [
            r#"{"properties":{"MAPBLKLOT":[{"wildcard":"143*"}]}}"#,
            r#"{"properties":{"MAPBLKLOT":[{"wildcard":"2*0*1*7"}]}}"#,
            r#"{"properties":{"MAPBLKLOT":[{"wildcard":"*218"}]}}"#,
            r#"{"properties":{"MAPBLKLOT":[{"wildcard":"3*5*2"}]}}"#,
            r#"{"properties":{"MAPBLKLOT":[{"wildcard":"VA*IL"}]}}"#,
        ],
    ),
    (
        "PREFIX",
        [
            r#"{"properties":{"STREET":[{"prefix":"AC"}]}}"#,
            r#"{"properties":{"STREET":[{"prefix":"BL"}]}}"#,
            r#"{"properties":{"STREET":[{"prefix":"DR"}]}}"#,
            r#"{"properties":{"STREET":[{"prefix":"FU"}]}}"#,
            r#"{"properties":{"STREET":[{"prefix":"RH"}]}}"#,
        ],
    ),
    (
        "SUFFIX",
        [
            r#"{"properties":{"STREET":[{"suffix":"ON"}]}}"#,
            r#"{"properties":{"STREET":[{"suffix":"KE"}]}}"#,
            r#"{"properties":{"STREET":[{"suffix":"MM"}]}}"#,
            r#"{"properties":{"STREET":[{"suffix":"ING"}]}}"#,
            r#"{"properties":{"STREET":[{"suffix":"GO"}]}}"#,
        ],
    ),
    (
        "IGNORE_CASE",
        [
            r#"{"properties":{"STREET":[{"equals-ignore-case":"jefferson"}]}}"#,
            r#"{"properties":{"STREET":[{"equals-ignore-case":"bEaCh"}]}}"#,
            r#"{"properties":{"STREET":[{"equals-ignore-case":"HyDe"}]}}"#,
            r#"{"properties":{"STREET":[{"equals-ignore-case":"CHESTNUT"}]}}"#,
            r#"{"properties":{"ST_TYPE":[{"equals-ignore-case":"st"}]}}"#,
        ],
    ),
    (
        "NUMERIC",
        [
            r#"{"geometry":{"type":["Polygon"],"firstCoordinates":{"x":[{"numeric":["=",-122.42916360922355]}]}}}"#,
            r#"{"geometry":{"type":["MultiPolygon"],"firstCoordinates":{"z":[{"numeric":["=",0]}]}}}"#,
            r#"{"geometry":{"firstCoordinates":{"x":[{"numeric":["<",-122.41600944012424]}]}}}"#,
            r#"{"geometry":{"firstCoordinates":{"x":[{"numeric":[">",-122.41600944012424]}]}}}"#,
            r#"{"geometry":{"firstCoordinates":{"x":[{"numeric":[">",-122.46471267081272,"<",-122.4063085128395]}]}}}"#,
        ],
    ),
    (
        "ANYTHING_BUT",
        [
            r#"{"properties":{"STREET":[{"anything-but":["FULTON"]}]}}"#,
            r#"{"properties":{"STREET":[{"anything-but":["MASON"]}]}}"#,
            r#"{"properties":{"ST_TYPE":[{"anything-but":["ST"]}]}}"#,
            r#"{"geometry":{"type":[{"anything-but":["Polygon"]}]}}"#,
            r#"{"properties":{"FROM_ST":[{"anything-but":["441"]}]}}"#,
        ],
    ),
    (
        COMPLEX_ARRAYS,
        [
            r#"{"geometry":{"type":["Polygon"],"coordinates":{"x":[{"numeric":["=",-122.42916360922355]}]}}}"#,
            r#"{"geometry":{"type":["MultiPolygon"],"coordinates":{"y":[{"numeric":["=",37.729900216217324]}]}}}"#,
            r#"{"geometry":{"coordinates":{"x":[{"numeric":["<",-122.41600944012424]}]}}}"#,
            r#"{"geometry":{"coordinates":{"x":[{"numeric":[">",-122.41600944012424]}]}}}"#,
            r#"{"geometry":{"coordinates":{"x":[{"numeric":[">",-122.46471267081272,"<",-122.4063085128395]}]}}}"#,
        ],
    ),
];
