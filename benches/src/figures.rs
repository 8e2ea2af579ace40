//! What was measured, and the table of it.
//!
//! Every measurement gives its figures; `main` writes them. The table is Markdown, to be quoted as it stands.

use std::{fmt, io::Write};

/// The figures of one pass, always the same in the same order.
pub(crate) type Pass = Vec<Figure>;

/// Something measured.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    goal: Option<Goal>,
}

/// What a figure is to be.
#[derive(Clone, Copy, Debug)]
enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, goal: None }
    }

    pub(crate) fn at_most(self, goal: f64) -> Self {
        Self { goal: Some(Goal::AtMost(goal)), ..self }
    }

    pub(crate) fn at_least(self, goal: f64) -> Self {
        Self { goal: Some(Goal::AtLeast(goal)), ..self }
    }
}

impl Goal {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
        }
    }
}

/// Writes the median of the passes, with the least and the most.
pub(crate) fn write_table(out: &mut dyn Write, passes: &[Pass]) -> anyhow::Result<()> {
    writeln!(out, "| figure | median | least | most | goal | |\n|---|--:|--:|--:|--:|---|")?;
    let Some(first) = passes.first() else { return Ok(()) };
    for (index, Figure { what, unit, goal, .. }) in first.iter().enumerate() {
        let mut values: Vec<f64> =
            passes.iter().filter_map(|pass| Some(pass.get(index)?.value)).collect();
        values.sort_by(f64::total_cmp);
        let median = values[values.len() / 2];
        let (least, most) = (shown(values[0]), shown(values[values.len() - 1]));
        let (goal, is_met) = match goal {
            Some(goal) if goal.is_met_by(median) => (goal.to_string(), "met"),
            Some(goal) => (goal.to_string(), "missed"),
            None => (String::new(), ""),
        };
        writeln!(
            out,
            "| {what} | {} {unit} | {least} | {most} | {goal} | {is_met} |",
            shown(median)
        )?;
    }
    Ok(())
}

/// A value with as many digits as mean something.
fn shown(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
