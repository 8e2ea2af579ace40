//! Faults on request, as a command line asks for them and as a person is told of them.
//!
//! Used by `dev` and by `demo`. Which faults there are, and what they do, is the local ECS's.

use serde_json::Value;
use taskferry_core::rules::Rules;
use taskferry_local::ecs::faults::{Fault, FaultShare, Faults, Made};

/// A capacity provider: what runs elsewhere is not interrupted.
const SPOT: &str = "FARGATE_SPOT";

/// What `taskferry dev` and `taskferry demo` take of faults.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct FaultArguments {
    /// Have ECS fail so often, as in `throttle=10%`, to see what becomes of it; may be repeated. FAULT is throttle, failures,
    /// lost-response, duplicate-event, reordered-event, slow-start, spot-interruption, or all
    #[arg(long = "fault", value_name = "FAULT=SHARE")]
    shares: Vec<FaultShare>,
}

impl FaultArguments {
    /// The faults that are asked for.
    pub(crate) fn faults(&self) -> Faults {
        self.shares.iter().copied().collect()
    }
}

/// What is said at the start, if any are asked for.
pub(crate) fn announced(faults: &Faults) -> Option<String> {
    (!faults.is_none()).then(|| format!("on request: {faults}"))
}

/// What is said of a request that nothing comes of under these rules.
pub(crate) fn in_vain(faults: &Faults, rules: &Rules) -> Option<String> {
    let names_spot = rules.rules.iter().any(|rule| {
        let strategy = rule.target.as_json()["capacityProviderStrategy"].as_array();
        let may_be_spot = |provider: &Value| {
            provider.as_str().is_some_and(|name| name == SPOT || name.contains("{{"))
        };
        strategy.into_iter().flatten().any(|item| may_be_spot(&item["capacityProvider"]))
    });
    (faults.has(Fault::SpotInterruption) && !names_spot).then(|| {
        let name = Fault::SpotInterruption.name();
        format!("{name} is on request, but only what runs on {SPOT} is interrupted, and no rule names it")
    })
}

/// A fault that was made.
pub(super) fn line(made: &Made) -> String {
    format!("fault     {}, on request: {}", made.fault.name(), shortened(&made.what))
}

/// A text with the ids in it as short as the other lines have them.
fn shortened(text: &str) -> String {
    let words = text.split_inclusive([' ', '/']).map(|word| {
        let id = word.trim_end_matches([' ', '/']);
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id {
            format!("{}{}", super::steps::short(id), &word[id.len()..])
        } else {
            word.to_owned()
        }
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use taskferry_core::rules;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        faults: FaultArguments,
    }

    fn faults(arguments: &[&str]) -> Faults {
        let arguments = ["dev"].iter().chain(arguments);
        Arguments::try_parse_from(arguments).unwrap().faults.faults()
    }

    #[track_caller]
    fn check_in_vain(faults: &Faults, target: &str, expected: bool) {
        let text = format!(
            "name: n\nrules:\n- name: r\n  on: {{ s3: {{ bucket: uploads }} }}\n  allow: {{ capacityProvider: [FARGATE, FARGATE_SPOT] }}\n  target: {{ taskDefinition: f, {target} }}\n"
        );
        let rules = rules::check(&text).rules.unwrap();
        assert_eq!(in_vain(faults, &rules).is_some(), expected, "{target}");
    }

    #[test]
    fn the_help_names_every_fault() {
        let help = <Arguments as clap::CommandFactory>::command().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for fault in Fault::ALL {
            assert!(help.contains(&format!("{},", fault.name())), "{}: {help}", fault.name());
        }
    }

    #[test]
    fn what_is_asked_for_is_announced_and_nothing_else() {
        let asked = faults(&["--fault", "all=5%", "--fault=throttle=10%"]);
        let told = announced(&asked).unwrap();
        assert!(told.starts_with("on request: throttle=10%, failures=5%, "), "{told}");
        assert_eq!(announced(&faults(&[])), None);
        assert_eq!(announced(&faults(&["--fault", "all=0%"])), None);
    }

    #[test]
    fn an_interruption_where_nothing_runs_on_spot_is_in_vain() {
        let asked = faults(&["--fault", "spot-interruption=5%"]);
        check_in_vain(&asked, "launchType: FARGATE", true);
        check_in_vain(&asked, "capacityProviderStrategy: [{ capacityProvider: FARGATE }]", true);
        check_in_vain(
            &asked,
            "capacityProviderStrategy: [{ capacityProvider: FARGATE_SPOT }]",
            false,
        );
        let template =
            "capacityProviderStrategy: [{ capacityProvider: '{{ detail.bucket.name }}' }]";
        check_in_vain(&asked, template, false);
        check_in_vain(&faults(&["--fault", "throttle=5%"]), "launchType: FARGATE", false);
    }

    #[test]
    fn a_fault_is_told_in_a_line_with_short_ids() {
        let id = "645649090125aaaaaaaaaaaaaaaaaaaa";
        let what = format!("RunTask for shop/{id}/1 of task {id} is done");
        assert_eq!(
            line(&Made { fault: Fault::LostResponse, what }),
            "fault     lost-response, on request: RunTask for shop/645649090125/1 of task 645649090125 is done"
        );
    }
}
