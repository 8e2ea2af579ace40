//! The request of the next attempt: the first one's, under a token of its own, changed where that mends what failed.
//!
//! Asked by `lifecycle` when an attempt follows another. Made of the first attempt's bytes and the classes in which the
//! attempts ended so far, and of nothing else, so it is the same whoever makes it.

use serde_json::{Map, Value, json};

use crate::{
    ecs::fargate,
    failure::FailureClass,
    plan,
    run::{Run, StartedBy},
};

/// The request of the attempt that `started_by` names; `None` if the run has no first attempt with a request.
pub(crate) fn request(run: &Run, started_by: &StartedBy) -> Option<String> {
    let first = run.attempts.first()?.request.as_deref()?;
    let mut request: Map<String, Value> = serde_json::from_str(first).ok()?;
    change(&mut request, run);
    request.insert("clientToken".to_owned(), plan::client_token(started_by).into());
    request.insert("startedBy".to_owned(), started_by.to_string().into());
    Some(Value::Object(request).to_string())
}

/// Changes what mends the failures so far.
fn change(request: &mut Map<String, Value>, run: &Run) {
    let times = |class| {
        let changes = run.policy.retry.changes_request(class);
        let ended_so = |attempt: &&crate::run::Attempt| attempt.failure_class == Some(class);
        if changes { run.attempts.iter().filter(ended_so).count() } else { 0 }
    };
    if times(FailureClass::SpotInterruption) > 0 {
        to_on_demand(request);
    }
    let no_room = times(FailureClass::Capacity);
    if no_room > 0 {
        to_next_subnet(request, no_room);
        to_next_capacity_provider(request, no_room);
    }
    for _ in 0..times(FailureClass::OutOfMemory) {
        to_more_memory(request, run);
    }
}

/// What Spot took back runs on demand next.
///
/// Only Fargate's own providers are known to come in such a pair.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html>
fn to_on_demand(request: &mut Map<String, Value>) {
    let Some(Value::Array(strategy)) = request.get_mut("capacityProviderStrategy") else { return };
    let is_spot = |item: &Value| item["capacityProvider"] == "FARGATE_SPOT";
    if !strategy.iter().any(is_spot) {
        return;
    }
    strategy.retain(|item| !is_spot(item));
    if strategy.is_empty() {
        strategy.push(json!({ "capacityProvider": "FARGATE", "weight": 1 }));
    }
    weigh_alone(strategy);
}

/// A provider that is alone gets tasks, whatever its weight was among others: ECS refuses one of weight 0.
fn weigh_alone(strategy: &mut [Value]) {
    if let [Value::Object(only)] = strategy
        && only.get("weight").is_none_or(|weight| *weight == 0)
    {
        only.insert("weight".to_owned(), 1.into());
    }
}

/// Where there was no room in one availability zone there may be in the next: one subnet after the other, alone.
fn to_next_subnet(request: &mut Map<String, Value>, times: usize) {
    let subnets = request
        .get_mut("networkConfiguration")
        .and_then(|network| network.get_mut("awsvpcConfiguration"))
        .and_then(|awsvpc| awsvpc.get_mut("subnets"))
        .and_then(Value::as_array_mut);
    if let Some(subnets) = subnets {
        keep_one(subnets, times);
    }
}

/// One capacity provider after the other, alone.
fn to_next_capacity_provider(request: &mut Map<String, Value>, times: usize) {
    if let Some(Value::Array(strategy)) = request.get_mut("capacityProviderStrategy") {
        keep_one(strategy, times);
        weigh_alone(strategy);
    }
}

/// Keeps the item that comes after so many failures; every one of them comes, and then the first again.
fn keep_one(items: &mut Vec<Value>, times: usize) {
    if items.len() > 1 {
        let kept = items.swap_remove(times % items.len());
        *items = vec![kept];
    }
}

/// The next size of memory that Fargate offers for the task's `cpu`; as it is where there is none, and elsewhere.
fn to_more_memory(request: &mut Map<String, Value>, run: &Run) {
    if !is_for_fargate(request) {
        return;
    }
    let said =
        |name: &str| request.get("overrides").and_then(|overrides| overrides.get(name)?.as_str());
    let size = run.size.as_ref();
    let cpu = said("cpu").or(size.map(|size| size.cpu.as_str())).and_then(fargate::cpu_units);
    let memory =
        said("memory").or(size.map(|size| size.memory.as_str())).and_then(fargate::memory_mib);
    let (Some(cpu), Some(memory)) = (cpu, memory) else { return };
    if let Some(more) = fargate::next_memory_mib(cpu, memory) {
        let overrides = request.entry("overrides").or_insert_with(|| json!({}));
        if let Value::Object(overrides) = overrides {
            overrides.insert("memory".to_owned(), more.to_string().into());
        }
    }
}

fn is_for_fargate(request: &Map<String, Value>) -> bool {
    let strategy = request.get("capacityProviderStrategy").and_then(Value::as_array);
    let provider = |item: &Value| {
        item["capacityProvider"].as_str().is_some_and(|name| name.starts_with("FARGATE"))
    };
    request.get("launchType").is_some_and(|launch_type| launch_type == "FARGATE")
        || strategy.is_some_and(|strategy| !strategy.is_empty() && strategy.iter().all(provider))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lifecycle::tests,
        run::{Attempt, Status, TaskSize},
    };

    /// The request after attempts that ended in these classes.
    #[track_caller]
    fn check(first: &Value, classes: &[FailureClass], expected: &Value) {
        let mut run = tests::run(Status::Waiting);
        run.size = Some(TaskSize { cpu: "256".to_owned(), memory: "512".to_owned() });
        let blank = run.attempts[0].clone();
        run.attempts = (1..)
            .zip(classes)
            .map(|(attempt, class)| Attempt {
                attempt,
                request: (attempt == 1).then(|| first.to_string()),
                failure_class: Some(*class),
                ..blank.clone()
            })
            .collect();
        let attempt = u32::try_from(classes.len()).unwrap() + 1;
        let started_by = StartedBy { name: "media".to_owned(), run_id: run.id.clone(), attempt };
        let request = request(&run, &started_by).unwrap();
        let mut request: Map<String, Value> = serde_json::from_str(&request).unwrap();
        assert_eq!(request.remove("clientToken").unwrap(), plan::client_token(&started_by));
        assert_eq!(request.remove("startedBy").unwrap(), started_by.to_string());
        assert_eq!(Value::Object(request), *expected);
    }

    #[test]
    fn after_an_exit_code_only_the_token_is_another() {
        check(&json!({ "count": 1 }), &[FailureClass::ExitCode], &json!({ "count": 1 }));
    }

    #[test]
    fn what_spot_took_back_runs_on_demand() {
        let spot = json!({ "capacityProviderStrategy": [{ "capacityProvider": "FARGATE_SPOT" }] });
        let on_demand =
            json!({ "capacityProviderStrategy": [{ "capacityProvider": "FARGATE", "weight": 1 }] });
        check(&spot, &[FailureClass::SpotInterruption], &on_demand);
        let both = json!({ "capacityProviderStrategy": [
            { "capacityProvider": "FARGATE_SPOT", "weight": 1 }, { "capacityProvider": "FARGATE", "weight": 0 },
        ] });
        check(&both, &[FailureClass::SpotInterruption], &on_demand);
        let mine = json!({ "capacityProviderStrategy": [{ "capacityProvider": "mine-spot" }] });
        check(&mine, &[FailureClass::SpotInterruption], &mine);
    }

    #[test]
    fn without_room_the_subnets_take_turns() {
        let subnets = |subnets: &[&str]| json!({ "networkConfiguration": { "awsvpcConfiguration": { "subnets": subnets } } });
        let all = subnets(&["a", "b", "c"]);
        check(&all, &[FailureClass::Capacity; 1], &subnets(&["b"]));
        check(&all, &[FailureClass::Capacity; 2], &subnets(&["c"]));
        check(&all, &[FailureClass::Capacity; 3], &subnets(&["a"]));
        check(&subnets(&["a"]), &[FailureClass::Capacity; 3], &subnets(&["a"]));
    }

    #[test]
    fn out_of_memory_gets_the_next_size_of_fargate() {
        let memory =
            |memory: &str| json!({ "launchType": "FARGATE", "overrides": { "memory": memory } });
        let fargate = json!({ "launchType": "FARGATE" });
        check(&fargate, &[FailureClass::OutOfMemory], &memory("1024"));
        check(&fargate, &[FailureClass::OutOfMemory; 2], &memory("2048"));
        // 256 units take no more than 2 GB.
        check(&fargate, &[FailureClass::OutOfMemory; 3], &memory("2048"));
        check(&memory("1024"), &[FailureClass::OutOfMemory], &memory("2048"));
        check(&json!({}), &[FailureClass::OutOfMemory], &json!({}));
    }

    #[test]
    fn a_rule_can_keep_the_request_as_it_is() {
        let mut run = tests::run(Status::Waiting);
        run.attempts[0].request = Some(
            r#"{"capacityProviderStrategy":[{"capacityProvider":"FARGATE_SPOT"}]}"#.to_owned(),
        );
        run.attempts[0].failure_class = Some(FailureClass::SpotInterruption);
        let keep = super::super::ClassPolicy { change_request: Some(false), ..Default::default() };
        run.policy.retry.classes.insert(FailureClass::SpotInterruption, keep);
        let started_by = StartedBy { name: "media".to_owned(), run_id: run.id.clone(), attempt: 2 };
        assert!(request(&run, &started_by).unwrap().contains("FARGATE_SPOT"));
    }
}
