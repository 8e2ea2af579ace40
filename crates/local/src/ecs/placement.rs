//! Where a task goes: launch type or capacity provider, network, platform, placement.
//!
//! Asked by `RunTask`, and for strategies by `CreateCluster`. All of it is checked as ECS checks it; what is placed
//! runs on this machine all the same.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::protocol::Exception;

use super::invalid;

const STRATEGY_MAX: usize = 20;
const CONSTRAINTS_MAX: usize = 10;
const PLACEMENT_STRATEGIES_MAX: usize = 5;
const SUBNETS_MAX: usize = 16;
const SECURITY_GROUPS_MAX: usize = 5;
/// What `LATEST` stands for.
const PLATFORM_VERSION: &str = "1.4.0";
const PLATFORM_VERSIONS: [&str; 5] = ["1.0.0", "1.1.0", "1.2.0", "1.3.0", PLATFORM_VERSION];

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StrategyItem {
    pub capacity_provider: String,
    #[serde(default)]
    pub weight: i64,
    #[serde(default)]
    pub base: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NetworkConfiguration {
    pub awsvpc_configuration: Option<AwsVpcConfiguration>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AwsVpcConfiguration {
    pub subnets: Vec<String>,
    #[serde(default)]
    pub security_groups: Vec<String>,
    pub assign_public_ip: Option<String>,
}

/// What one task is placed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Placement {
    pub launch_type: String,
    pub capacity_provider: Option<String>,
}

impl Placement {
    pub(super) fn is_fargate(&self) -> bool {
        self.launch_type == "FARGATE"
    }
}

fn is_fargate_provider(name: &str) -> bool {
    matches!(name, "FARGATE" | "FARGATE_SPOT")
}

/// Checks a strategy against the capacity providers of a cluster.
///
/// Fargate's are taken on any cluster: there is no `PutClusterCapacityProviders` here to associate them later.
pub(super) fn check_strategy(
    strategy: &[StrategyItem],
    providers: &[String],
) -> Result<(), Exception> {
    if strategy.len() > STRATEGY_MAX {
        return Err(invalid(format!(
            "A capacity provider strategy can contain a maximum of {STRATEGY_MAX} capacity \
             providers."
        )));
    }
    for (index, item) in strategy.iter().enumerate() {
        let name = &item.capacity_provider;
        if !is_fargate_provider(name) && !providers.contains(name) {
            return Err(invalid(format!(
                "The specified capacity provider '{name}' was not found."
            )));
        }
        if strategy[..index].iter().any(|other| other.capacity_provider == *name) {
            return Err(invalid(format!("The capacity provider '{name}' is there twice.")));
        }
        if !(0..=1000).contains(&item.weight) {
            return Err(invalid("The weight of a capacity provider must be between 0 and 1000."));
        }
        if !(0..=100_000).contains(&item.base) {
            return Err(invalid("The base of a capacity provider must be between 0 and 100000."));
        }
    }
    if strategy.iter().filter(|item| item.base > 0).count() > 1 {
        return Err(invalid("Only one capacity provider in a strategy can have a base."));
    }
    // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProviderStrategyItem.html
    // "If you specify multiple capacity providers in a strategy that all have a weight of 0 ..."
    if strategy.len() > 1 && strategy.iter().all(|item| item.weight == 0) {
        return Err(invalid("At least one capacity provider must have a weight greater than 0."));
    }
    let fargate =
        strategy.iter().filter(|item| is_fargate_provider(&item.capacity_provider)).count();
    if fargate != 0 && fargate != strategy.len() {
        return Err(invalid(
            "A capacity provider strategy cannot mix Fargate with Auto Scaling group providers.",
        ));
    }
    Ok(())
}

/// Where each of `count` tasks goes: the base first, then by weight.
pub(super) fn spread(strategy: &[StrategyItem], count: usize) -> Vec<Placement> {
    let mut placed = vec![0_i64; strategy.len()];
    (0..count)
        .map(|_| {
            let base = strategy.iter().zip(&placed).position(|(item, placed)| *placed < item.base);
            let chosen = base.unwrap_or_else(|| {
                let candidates = strategy.iter().zip(&placed).enumerate();
                let by_weight = candidates.filter(|(_, (item, _))| item.weight > 0);
                // The one that is furthest below its share; the product avoids a fraction.
                let chosen = by_weight.min_by(|(_, (a, placed_a)), (_, (b, placed_b))| {
                    let share = |item: &StrategyItem, placed: i64| (placed - item.base).max(0) + 1;
                    (share(a, **placed_a) * b.weight).cmp(&(share(b, **placed_b) * a.weight))
                });
                chosen.map_or(0, |(index, _)| index)
            });
            placed[chosen] += 1;
            let name = strategy[chosen].capacity_provider.clone();
            let launch_type = if is_fargate_provider(&name) { "FARGATE" } else { "EC2" };
            Placement { launch_type: launch_type.to_owned(), capacity_provider: Some(name) }
        })
        .collect()
}

/// Checks that the network configuration fits the definition's network mode, and answers the first subnet.
pub(super) fn check_network(
    configuration: Option<&NetworkConfiguration>,
    network_mode: Option<&str>,
    fargate: bool,
) -> Result<Option<String>, Exception> {
    let awsvpc = configuration.and_then(|network| network.awsvpc_configuration.as_ref());
    match (network_mode, awsvpc) {
        (Some("awsvpc"), None) => Err(invalid(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        )),
        (Some("awsvpc"), Some(awsvpc)) => {
            if awsvpc.subnets.is_empty() || awsvpc.subnets.iter().any(String::is_empty) {
                return Err(invalid("subnets can not be empty."));
            }
            if awsvpc.subnets.len() > SUBNETS_MAX {
                return Err(invalid(format!("subnets can have at most {SUBNETS_MAX} items.")));
            }
            if awsvpc.security_groups.len() > SECURITY_GROUPS_MAX {
                return Err(invalid(format!(
                    "securityGroups can have at most {SECURITY_GROUPS_MAX} items."
                )));
            }
            if !fargate && awsvpc.assign_public_ip.as_deref() == Some("ENABLED") {
                return Err(invalid("Assign public IP is not supported for this launch type."));
            }
            Ok(awsvpc.subnets.first().cloned())
        }
        (_, None) if configuration.is_none() => Ok(None),
        (_, _) => Err(invalid(
            "Network Configuration is not valid for the given networkMode of this task \
             definition.",
        )),
    }
}

/// The platform version that a task shows, if it has one.
pub(super) fn platform_version(
    written: Option<&str>,
    fargate: bool,
) -> Result<Option<String>, Exception> {
    match (fargate, written.filter(|version| !version.is_empty())) {
        (false, None) => Ok(None),
        (false, Some(_)) => {
            Err(invalid("The platform version must be null when specifying an EC2 launch type."))
        }
        (true, None | Some("LATEST")) => Ok(Some(PLATFORM_VERSION.to_owned())),
        (true, Some(version)) if PLATFORM_VERSIONS.contains(&version) => {
            Ok(Some(version.to_owned()))
        }
        (true, Some(_)) => Err(Exception::client(
            "PlatformUnknownException",
            "The specified platform version does not exist.",
        )),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct PlacementRule {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub expression: Option<String>,
}

/// Checks placement constraints and strategies. `defined` constraints come with the task definition.
pub(super) fn check_rules(
    constraints: &[PlacementRule],
    defined: usize,
    strategies: &[Value],
    fargate: bool,
) -> Result<(), Exception> {
    if constraints.len() + defined > CONSTRAINTS_MAX {
        return Err(invalid(format!(
            "At most {CONSTRAINTS_MAX} placement constraints can be specified."
        )));
    }
    if strategies.len() > PLACEMENT_STRATEGIES_MAX {
        return Err(invalid(format!(
            "At most {PLACEMENT_STRATEGIES_MAX} placement strategies can be specified."
        )));
    }
    if fargate && !strategies.is_empty() {
        return Err(invalid("Placement strategies are not supported with FARGATE launch type."));
    }
    if fargate && !constraints.is_empty() {
        return Err(invalid("Placement constraints are not supported with FARGATE launch type."));
    }
    for constraint in constraints {
        let expression = constraint.expression.as_deref().unwrap_or_default();
        match constraint.kind.as_deref() {
            Some("memberOf") if expression.is_empty() => {
                return Err(invalid("A memberOf placement constraint needs an expression."));
            }
            Some("distinctInstance") if !expression.is_empty() => {
                return Err(invalid("A distinctInstance placement constraint has no expression."));
            }
            Some(_) => {}
            None => return Err(invalid("A placement constraint needs a type.")),
        }
    }
    if strategies.iter().any(|strategy| strategy.get("type").is_none()) {
        return Err(invalid("A placement strategy needs a type."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, weight: i64, base: i64) -> StrategyItem {
        StrategyItem { capacity_provider: name.to_owned(), weight, base }
    }

    #[test]
    fn tasks_go_to_the_base_first_and_then_by_weight() {
        let strategy = [item("FARGATE", 1, 2), item("FARGATE_SPOT", 3, 0)];
        let names: Vec<_> = spread(&strategy, 10)
            .into_iter()
            .map(|placement| placement.capacity_provider.unwrap())
            .collect();
        let on_demand = names.iter().filter(|name| *name == "FARGATE").count();
        assert_eq!(names[..2], ["FARGATE", "FARGATE"]);
        assert_eq!((on_demand, names.len()), (4, 10));
    }

    #[test]
    fn a_single_provider_needs_no_weight() {
        assert_eq!(spread(&[item("FARGATE_SPOT", 0, 0)], 2).len(), 2);
        assert_eq!(check_strategy(&[item("FARGATE_SPOT", 0, 0)], &[]), Ok(()));
    }

    #[test]
    fn strategies_that_ecs_refuses_are_refused() {
        let many: Vec<_> = (0..21).map(|n| item(&format!("p{n}"), 1, 0)).collect();
        let providers: Vec<_> = many.iter().map(|item| item.capacity_provider.clone()).collect();
        let table = [
            many,
            vec![item("unknown", 1, 0)],
            vec![item("FARGATE", 1, 0), item("FARGATE", 1, 0)],
            vec![item("FARGATE", 1, 0), item("p1", 1, 0)],
            vec![item("FARGATE", 0, 0), item("FARGATE_SPOT", 0, 0)],
            vec![item("FARGATE", 1, 1), item("FARGATE_SPOT", 1, 1)],
            vec![item("FARGATE", 1001, 0)],
            vec![item("FARGATE", -1, 0)],
            vec![item("FARGATE", 1, 100_001)],
        ];
        for strategy in table {
            let refused = check_strategy(&strategy, &providers).unwrap_err();
            assert_eq!(refused.name, "InvalidParameterException", "{strategy:?}");
        }
    }
}
