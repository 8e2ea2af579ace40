//! Templates without quotes, the slip that everyone makes: YAML reads `{` as the beginning of a map.
//!
//! Asked by `tree` for what to say where YAML gives up. Never decides whether a text is a template.

/// The value, quoted, that begins with a template and stands bare in this line: YAML takes `{` for the beginning of a map.
pub(super) fn template_in(line: &str) -> Option<String> {
    let (at, _) = line.match_indices("{{").chain(line.match_indices("{%")).find(|(at, _)| {
        let before = line[..*at].trim_end();
        before.is_empty() || before.ends_with([':', '-', ',', '['])
    })?;
    let (before, rest) = line.split_at(at);
    // Within brackets the value ends before the line does.
    let end = match rest.find("}}").or_else(|| rest.find("%}")) {
        Some(end) if before.contains(['[', '{']) => end + 2,
        Some(_) | None => rest.find(" #").unwrap_or(rest.len()),
    };
    Some(in_quotes(rest[..end].trim_end()))
}

/// Text in the quotes that it does not hold itself.
pub(super) fn in_quotes(text: &str) -> String {
    if text.contains('"') { format!("'{text}'") } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        assert_eq!(template_in(line).as_deref(), expected, "{line}");
    }

    #[test]
    fn the_whole_value_is_quoted() {
        check("group: {{ a }}-{{ b }}  # both", Some("\"{{ a }}-{{ b }}\""));
        check("- {% if a %}b{% endif %}", Some("\"{% if a %}b{% endif %}\""));
        check("command: [run, {{ a }}x, {{ b }}]", Some("\"{{ a }}\""));
        check("group: {{ detail[\"a-b\"] }}", Some("'{{ detail[\"a-b\"] }}'"));
        check("group: {{ a", Some("\"{{ a\""));
    }

    #[test]
    fn what_is_quoted_or_no_template_is_left_alone() {
        check("group: \"{{ a }}\"", None);
        check("group: a{{ b }}", None);
        check("group: { a: [ }", None);
        check("", None);
    }
}
