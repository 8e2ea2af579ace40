//! The language of event patterns once more, as simple as can be: what the matcher has to agree with.
//!
//! Shares no code with it and takes no short cuts: a tree of the JSON, a list of the event's values, every alternative
//! of every `$or`, every choice of array elements. Patterns are taken to be valid. Used by the property tests here and
//! by the fuzz targets.

pub mod generate;
mod json;
pub mod targets;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use json::{Text, Value};

/// Most values that are tried before giving up: choices of elements multiply.
const TRIALS_MAX: usize = 50_000;

/// Whether the pattern matches the event; `None` if it takes too many trials to tell.
///
/// # Panics
///
/// If one of them is not JSON, or the pattern is not valid.
pub fn matches(pattern: &str, event: &str) -> Option<bool> {
    let pattern = json::parse(pattern).expect("a pattern that was compiled is JSON");
    let event = json::parse(event).expect("an event that was matched is JSON");
    let mut alternatives = vec![Alternative::new()];
    ask(&pattern, None, &mut alternatives);
    let mut found = Found::default();
    found.walk(&event, None, &BTreeMap::new());
    let mut trials = 0;
    for alternative in &alternatives {
        let fields: Vec<_> = alternative.iter().collect();
        if meets(&fields, &found.values, &BTreeMap::new(), &mut trials)? {
            return Some(true);
        }
    }
    Some(false)
}

/// What is asked of each path: one of these. The last of two fields with one path wins.
type Alternative<'p> = BTreeMap<Text, &'p [Value]>;

fn below(path: Option<&Text>, name: &Text) -> Text {
    match path {
        None => name.clone(),
        Some(path) => path.iter().copied().chain([u32::from('.')]).chain(name.clone()).collect(),
    }
}

/// Adds what a part of the pattern asks for to each of the alternatives.
fn ask<'p>(pattern: &'p Value, path: Option<&Text>, alternatives: &mut Vec<Alternative<'p>>) {
    let Value::Object(members) = pattern else { panic!("a field is an object or an array") };
    for (name, value) in members {
        let Value::Array(list) = value else {
            ask(value, Some(&below(path, name)), alternatives);
            continue;
        };
        if *name == json::text("$or") {
            let branches = list.iter().flat_map(|branch| {
                let mut multiplied = alternatives.clone();
                ask(branch, path, &mut multiplied);
                multiplied
            });
            *alternatives = branches.collect();
        } else {
            for alternative in alternatives.iter_mut() {
                alternative.insert(below(path, name), list);
            }
        }
    }
}

/// Of some arrays, the element.
type Elements = BTreeMap<usize, usize>;

/// Every string, number, true, false and null of an event: its path, itself, and the elements it lies in.
#[derive(Default)]
struct Found<'e> {
    values: Vec<(Text, &'e Value, Elements)>,
    arrays: usize,
}

impl<'e> Found<'e> {
    fn walk(&mut self, value: &'e Value, path: Option<&Text>, elements: &Elements) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    self.walk(value, Some(&below(path, name)), elements);
                }
            }
            Value::Array(list) => {
                let array = self.arrays;
                self.arrays += 1;
                for (index, value) in list.iter().enumerate() {
                    let mut elements = elements.clone();
                    // A plain value has no fields that would have to be of the same element.
                    if matches!(value, Value::Object(_) | Value::Array(_)) {
                        elements.insert(array, index);
                    }
                    self.walk(value, path, &elements);
                }
            }
            scalar => {
                let path = path.expect("an event is an object").clone();
                self.values.push((path, scalar, elements.clone()));
            }
        }
    }
}

/// Whether the fields are met by values of which no two lie in different elements of one array.
fn meets(
    fields: &[(&Text, &&[Value])],
    values: &[(Text, &Value, Elements)],
    chosen: &Elements,
    trials: &mut usize,
) -> Option<bool> {
    let Some(((path, list), rest)) = fields.split_first() else { return Some(true) };
    *trials += values.len() + 1;
    if *trials > TRIALS_MAX {
        return None;
    }
    let is_consistent = |elements: &Elements| {
        elements.iter().all(|(array, element)| chosen.get(array).is_none_or(|own| own == element))
    };
    let here: Vec<_> =
        values.iter().filter(|(at, _, elements)| at == *path && is_consistent(elements)).collect();
    for (_, value, elements) in &here {
        if list.iter().any(|clause| accepts(clause, value)) {
            let mut chosen = chosen.clone();
            chosen.extend(elements);
            if meets(rest, values, &chosen, trials)? {
                return Some(true);
            }
        }
    }
    if here.is_empty()
        && list.iter().any(|clause| operator(clause) == Some(("exists", &Value::False)))
    {
        return meets(rest, values, chosen, trials);
    }
    Some(false)
}

/// The operator of a clause and what it takes.
fn operator(clause: &Value) -> Option<(&'static str, &Value)> {
    const NAMES: [&str; 9] = [
        "prefix",
        "suffix",
        "equals-ignore-case",
        "wildcard",
        "anything-but",
        "numeric",
        "exists",
        "cidr",
        "exactly",
    ];
    let Value::Object(members) = clause else { return None };
    let [(name, operand)] = members.as_slice() else { panic!("an operator stands alone") };
    let name = NAMES.into_iter().find(|known| json::text(known) == *name);
    Some((name.expect("an operator that there is"), operand))
}

/// Whether an element of a field's list accepts a value of the event.
fn accepts(clause: &Value, value: &Value) -> bool {
    let Some((name, operand)) = operator(clause) else {
        return match (clause, value) {
            (Value::Text(wanted), Value::Text(text)) => match address(wanted) {
                Some(wanted) => address(text) == Some(wanted),
                None => wanted == text,
            },
            (Value::Number(wanted), Value::Number(number)) => {
                wanted == number
                    || double(wanted).is_some_and(|wanted| double(number) == Some(wanted))
            }
            (Value::True, Value::True)
            | (Value::False, Value::False)
            | (Value::Null, Value::Null) => true,
            _ => false,
        };
    };
    match name {
        "exists" => *operand == Value::True,
        "anything-but" => !excluded(operand, value),
        "numeric" => {
            let (Value::Array(comparisons), Value::Number(number)) = (operand, value) else {
                return false;
            };
            double(number)
                .is_some_and(|number| comparisons.chunks(2).all(|pair| compares(number, pair)))
        }
        name => match value {
            Value::Text(text) => accepts_text(name, operand, text),
            _ => false,
        },
    }
}

/// Whether one of the values or operators of an `anything-but` accepts the value.
fn excluded(operand: &Value, value: &Value) -> bool {
    match operand {
        Value::Array(list) => list.iter().any(|one| excluded(one, value)),
        // Addresses are compared as they are spelled.
        Value::Text(wanted) => matches!(value, Value::Text(text) if text == wanted),
        Value::Object(_) => {
            let (name, operand) = operator(operand).expect("an operator");
            let Value::Text(text) = value else { return false };
            match operand {
                Value::Array(list) => list.iter().any(|one| accepts_text(name, one, text)),
                one => accepts_text(name, one, text),
            }
        }
        number => accepts(number, value),
    }
}

fn compares(number: f64, pair: &[Value]) -> bool {
    let [Value::Text(comparison), Value::Number(bound)] = pair else { panic!("pairs") };
    let bound = double(bound).expect("a bound can be compared");
    let is = |name: &str| *comparison == json::text(name);
    (is("<") && number < bound)
        || (is("<=") && number <= bound)
        || (is(">") && number > bound)
        || (is(">=") && number >= bound)
        || (is("=") && number >= bound && number <= bound)
}

fn accepts_text(name: &str, operand: &Value, text: &Text) -> bool {
    let ignoring_case = matches!(operand, Value::Object(_));
    let wanted = match operand {
        Value::Text(wanted) => wanted,
        operand => match operator(operand) {
            Some(("equals-ignore-case", Value::Text(wanted))) => wanted,
            other => panic!("{other:?} in {name}"),
        },
    };
    match name {
        "exactly" => text == wanted,
        "prefix" if ignoring_case => (0..=text.len()).any(|end| folds(wanted, &text[..end])),
        "prefix" => text.starts_with(wanted),
        "suffix" if ignoring_case => (0..=text.len()).any(|start| folds(wanted, &text[start..])),
        "suffix" => text.ends_with(wanted),
        "equals-ignore-case" => folds(wanted, text),
        "wildcard" => globs(wanted, text),
        "cidr" => network_has(wanted, text),
        other => panic!("{other} is no operator on texts"),
    }
}

/// Whether each character of `wanted` is met by itself, its lower-case or its upper-case form.
fn folds(wanted: &[u32], text: &[u32]) -> bool {
    let Some((first, wanted)) = wanted.split_first() else { return text.is_empty() };
    let forms = match char::from_u32(*first) {
        None => vec![vec![*first]],
        Some(c) => vec![
            vec![*first],
            c.to_lowercase().map(u32::from).collect(),
            c.to_uppercase().map(u32::from).collect(),
        ],
    };
    forms
        .iter()
        .any(|form| text.strip_prefix(form.as_slice()).is_some_and(|text| folds(wanted, text)))
}

/// Whether a wildcard matches, by a table of which beginnings match which.
fn globs(wildcard: &[u32], text: &[u32]) -> bool {
    // `None` is a star.
    let mut tokens = Vec::new();
    let mut characters = wildcard.iter();
    while let Some(&c) = characters.next() {
        tokens.push(match char::from_u32(c) {
            Some('*') => None,
            Some('\\') => characters.next().copied(),
            _ => Some(c),
        });
    }
    let mut row: Vec<bool> = (0..=text.len()).map(|length| length == 0).collect();
    for token in tokens {
        let mut next = vec![false; text.len() + 1];
        for length in 0..=text.len() {
            next[length] = match token {
                None => row[..=length].contains(&true),
                Some(c) => length > 0 && row[length - 1] && text[length - 1] == c,
            };
        }
        row = next;
    }
    row[text.len()]
}

/// The address that a text is as a whole. One of IPv4 mapped into IPv6 is the one of IPv4.
fn address(text: &Text) -> Option<IpAddr> {
    let text: String = text.iter().map(|c| char::from_u32(*c)).collect::<Option<_>>()?;
    if text.contains(':') {
        // EventBridge does not read a dotted tail.
        let address: Ipv6Addr = text.parse().ok().filter(|_| !text.contains('.'))?;
        return Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4));
    }
    let parts: Vec<_> = text.split('.').collect();
    let octets: Vec<u8> = parts
        .iter()
        .map(|part| {
            let is_plain = !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
            part.parse().ok().filter(|_| is_plain)
        })
        .collect::<Option<_>>()?;
    let octets: [u8; 4] = octets.try_into().ok()?;
    Some(IpAddr::V4(Ipv4Addr::from(octets)))
}

fn network_has(network: &Text, text: &Text) -> bool {
    let slash = network.iter().position(|c| *c == u32::from('/')).expect("a network has a slash");
    let base = address(&network[..slash].to_vec()).expect("a network has an address");
    let bits: String = network[slash + 1..].iter().filter_map(|c| char::from_u32(*c)).collect();
    let bits: usize = bits.parse().expect("a network has a number of bits");
    let binary = |address: IpAddr| match address {
        IpAddr::V4(v4) => format!("{:032b}", v4.to_bits()),
        IpAddr::V6(v6) => format!("{:0128b}", v6.to_bits()),
    };
    address(text).is_some_and(|address| {
        let (base, address) = (binary(base), binary(address));
        base.len() == address.len() && base[..bits] == address[..bits]
    })
}

/// The double that a number is, if it is exactly what that double is written as.
fn double(raw: &str) -> Option<f64> {
    let value: f64 = raw.parse().expect("a number");
    (value.is_finite() && decimal(raw) == decimal(&format!("{value:e}"))).then_some(value)
}

/// Sign, digits without zeros at the ends, and the power of ten of the last of them.
fn decimal(raw: &str) -> (bool, String, i64) {
    let (mantissa, power) = raw.split_once(['e', 'E']).unwrap_or((raw, "0"));
    let unsigned = mantissa.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_end_matches('0');
    if digits.is_empty() {
        return (false, String::new(), 0);
    }
    let dropped = i64::try_from(all.len() - digits.len()).expect("a text is not that long");
    let places = i64::try_from(fraction.len()).expect("a text is not that long");
    // A power that no `i64` holds is not that of any double.
    let power =
        power.parse().unwrap_or(i64::MAX / 2).saturating_add(dropped).saturating_sub(places);
    (raw.starts_with('-'), digits.trim_start_matches('0').to_owned(), power)
}
