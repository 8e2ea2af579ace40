//! `taskferry schema`: the JSON Schema of the rules file, for editors.

use std::{io::Write, process::ExitCode};

/// Prints the schema.
pub(crate) fn run(out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    serde_json::to_writer_pretty(&mut *out, &taskferry_core::rules::schema())?;
    writeln!(out)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_printed_as_json() {
        let mut out = Vec::new();
        run(&mut out).unwrap();
        let schema: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(out.last(), Some(&b'\n'));
    }
}
