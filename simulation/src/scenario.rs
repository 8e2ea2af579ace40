//! What a seed plays: the rules, the events, and when what happens to them.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use taskferry_core::{
    event::Event,
    failure::FailureClass,
    rules::{self, Rules},
    run::Run,
};

use crate::{
    queued,
    world::{Micros, Told},
};

/// The stack's name in every simulation.
pub(crate) const STACK: &str = "sim";

/// What no log may tell: it is in each event, and in the environment of each task.
pub(crate) const SECRET: &str = "s3cr3t-4711";

/// Slots for `one` and `skip`, for the group, for everything; calls a second, and at once.
type Variant = (u32, u32, Option<u32>, (u32, u32));

/// What differs between the sets of rules: slots for `one` and `skip`, for the group, for everything; the quota.
const VARIANTS: [Variant; 6] = [
    (1, 1, None, (20, 20)),
    (2, 1, None, (20, 20)),
    (1, 2, Some(3), (20, 20)),
    (3, 3, Some(2), (20, 20)),
    (1, 1, Some(4), (2, 4)),
    (2, 2, None, (1, 2)),
];

/// The sets of rules, compiled once.
static RULES: LazyLock<Vec<Arc<Rules>>> = LazyLock::new(|| {
    let texts = VARIANTS.iter().enumerate().map(|(number, variant)| text(number, *variant));
    texts.map(|text| Arc::new(compile(&text))).collect()
});

/// How many sets of rules there are.
pub(crate) const VARIANT_COUNT: usize = VARIANTS.len();

/// A set of rules.
pub(crate) fn rules(variant: usize) -> Arc<Rules> {
    Arc::clone(&RULES[variant % VARIANT_COUNT])
}

/// The quota of a set of rules: calls a second, and at once.
pub(crate) fn quota(variant: usize) -> (i64, i64) {
    let (rate, burst) = VARIANTS[variant % VARIANT_COUNT].3;
    (rate.into(), burst.into())
}

/// The rules of a text.
pub(crate) fn compile(text: &str) -> Rules {
    let checked = rules::check(text);
    checked
        .rules
        .unwrap_or_else(|| panic!("the simulation's rules are wrong: {:?}", checked.faults))
}

fn text(number: usize, (slots, group, all, (rate, burst)): Variant) -> String {
    let all = all.map_or(String::new(), |limit| format!("concurrency: {{ limit: {limit} }}"));
    let on = |rule: &str| {
        format!("on: {{ eventPattern: {{ source: [shop], detail: {{ rules: [{rule}] }} }} }}")
    };
    let rule = |name: &str, more: &str| {
        let on = on(name);
        format!(
            r#"
  - name: {name}
    {on}
    dedupe: "{{{{ detail.order }}}}"
    target:
      taskDefinition: work
      cluster: batch
      launchType: FARGATE
      networkConfiguration: {{ awsvpcConfiguration: {{ subnets: [subnet-1, subnet-2] }} }}
      overrides:
        containerOverrides:
          - name: app
            command: ["{{{{ detail.order }}}}", "rules {number}"]
            environment: [{{ name: SECRET, value: "{{{{ detail.secret }}}}" }}]
    {more}"#
        )
    };
    let spot = {
        let on = on("spot");
        format!(
            r#"
  - name: spot
    {on}
    dedupe: "{{{{ detail.order }}}}"
    target:
      taskDefinition: "work:42"
      cluster: spot
      capacityProviderStrategy: [{{ capacityProvider: FARGATE_SPOT, weight: 1 }}]"#
        )
    };
    let after = r"
  - name: after
    on: { eventPattern: { source: [taskferry], detail-type: [Run Succeeded], detail: { rule: [plain] } } }
    target: { taskDefinition: work, cluster: batch }";
    // A chain without an end, in a form that `check` cannot see: when a run ended is known to nobody before it did.
    let link = r"
  - name: link
    on:
      eventPattern:
        source: [taskferry]
        detail-type: [Run Succeeded]
        detail: { rule: [chain, link], endedAt: [{ exists: true }] }
    target: { taskDefinition: work, cluster: batch }";
    let parts = [
        rule("plain", ""),
        rule("chain", ""),
        rule(
            "one",
            &format!(
                "concurrency: {{ limit: {slots}, key: \"{{{{ detail.tenant }}}}\" }}\n    retry: {{ attempts: 3, backoff: {{ min: 5s, max: 1m }} }}\n    timeout: {{ start: 20m, run: 30m }}"
            ),
        ),
        rule("skip", &format!("concurrency: {{ limit: {slots}, overlap: skip }}")),
        rule("replace", "concurrency: { limit: 1, overlap: replace }"),
        rule("latest", "concurrency: { limit: 1, overlap: latest }"),
        rule("mine", &format!("concurrency: {{ limit: {slots}, group: shared }}")),
        rule("yours", "concurrency: { group: shared }\n    retry: { attempts: 2 }"),
        rule("timed", "retry: { attempts: 2 }\n    timeout: { start: 10m, run: 15m, total: 4h }"),
        rule("big", "payload: { container: app, bucket: aside }"),
        rule("bad", "").replace("[\"{{ detail.order }}\",", "[\"{{ detail.missing }}\","),
        spot,
        after.to_owned(),
        link.to_owned(),
        queued::rules(number, slots),
    ]
    .concat();
    format!(
        "name: {STACK}\nlifecycleEvents: true\n{all}\nquotas: {{ runTask: {{ rate: {rate}, burst: {burst} }} }}\nlimits: {{ shared: {{ limit: {group} }} }}\nrules:{parts}\n"
    )
}

/// The rules that events can name.
pub(crate) const NAMES: [&str; 11] =
    ["plain", "one", "skip", "replace", "latest", "mine", "yours", "timed", "big", "bad", "spot"];

/// The rule whose runs begin a chain.
pub(crate) const CHAIN: &str = "chain";

/// The rule that goes on upon the success of another one's runs.
pub(crate) fn follower(rule: &str) -> Option<&'static str> {
    match rule {
        "plain" => Some("after"),
        CHAIN | "link" => Some("link"),
        _ => None,
    }
}

/// What an order is called. A third of them by names that would do something, were they more than data.
pub(crate) fn order_id(number: usize) -> String {
    if number.is_multiple_of(3) {
        format!("o{number} {{{{ detail.tenant }}}} \"; $(rm -r /) \\ `é`\n'")
    } else {
        format!("o{number}")
    }
}

/// How often a run of the rule may end in the application's own faults, as its rule says above.
pub(crate) fn attempts(rule: &str) -> usize {
    match rule {
        "one" => 3,
        "yours" | "timed" => 2,
        _ => 1,
    }
}

/// How often a run may end in a class: `docs/retries-and-limits.md`, in the oracles' own words.
pub(crate) fn budget(rule: &str, class: FailureClass) -> usize {
    match class {
        FailureClass::Throttled => 28,
        FailureClass::Capacity => 40,
        FailureClass::Agent | FailureClass::SpotInterruption => 10,
        FailureClass::ImagePull | FailureClass::Initialization => 4,
        FailureClass::Infrastructure => 5,
        FailureClass::StoppedByUser | FailureClass::Refused => 1,
        FailureClass::OutOfMemory | FailureClass::ExitCode | FailureClass::TimedOut => {
            attempts(rule)
        }
    }
}

/// How many attempts of a run have spent from the budget of a class: the application has one for all its own.
pub(crate) fn spent(run: &Run, class: FailureClass) -> usize {
    let own = [FailureClass::OutOfMemory, FailureClass::ExitCode, FailureClass::TimedOut];
    let ended_so = run.attempts.iter().filter_map(|attempt| attempt.failure_class);
    ended_so.filter(|other| *other == class || own.contains(other) && own.contains(&class)).count()
}

/// An event of the scenario, and what must come of it.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// The event.
    pub(crate) event: Event,
    /// The rules that it matches, each with its dedupe key.
    pub(crate) matches: BTreeMap<String, String>,
    /// Whether a source was told "done".
    pub(crate) is_done: bool,
}

/// An order of the shop that asks for these rules.
pub(crate) fn order(number: usize, tenant: u64, names: &[&str], is_long: bool) -> Planned {
    let filler = if is_long { "x".repeat(9000) } else { String::new() };
    order_with(number, tenant, names, &filler)
}

/// An order with something in it.
pub(crate) fn order_with(number: usize, tenant: u64, names: &[&str], filler: &str) -> Planned {
    let filler = serde_json::Value::from(filler);
    let rules = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
    let order = serde_json::Value::from(order_id(number));
    let text = format!(
        r#"{{"id":"e{number}","source":"shop","detail-type":"Order","time":"2026-01-01T00:00:00Z","detail":{{"order":{order},"tenant":"t{tenant}","secret":"{SECRET}","rules":[{rules}],"filler":{filler}}}}}"#
    );
    let event = Event::parse(&text).expect("the scenario writes events");
    let matches = names.iter().map(|name| {
        // A refused match is told by its event's id, since its key may be what could not be rendered.
        ((*name).to_owned(), order_id(number))
    });
    Planned { event, matches: matches.collect(), is_done: false }
}

/// A lifecycle event as the bus delivers it, if a rule listens to it.
pub(crate) fn lifecycle(number: usize, told: &Told) -> Option<Planned> {
    let Told { run_id, rule, detail_type, detail, .. } = told;
    let follower = follower(rule).filter(|_| *detail_type == "Run Succeeded")?;
    let text = format!(
        r#"{{"id":"l{number}","source":"taskferry","detail-type":"{detail_type}","time":"2026-01-01T00:00:00Z","detail":{detail}}}"#
    );
    let event = Event::parse(&text).ok()?;
    let matches = BTreeMap::from([(follower.to_owned(), format!("{run_id}/{detail_type}"))]);
    Some(Planned { event, matches, is_done: false })
}

/// When faults stop, and when what is planned begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// How long things fail.
    pub(crate) faults: Micros,
    /// Over how long the events come.
    pub(crate) events: Micros,
}
