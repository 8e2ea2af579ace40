//! The SDK's configuration as a function's environment has it.
//!
//! Asked by `Clients` for the functions alone. The SDK's own loader reads profile files and knows six other machines to ask
//! for credentials; Lambda puts all there is into the environment, and what is never asked for need not be in every
//! function, where it was a tenth of the file. A program that people start uses the SDK's loader.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>: "The access keys obtained from the function's
//! execution role" are in the first three; `AWS_CONTAINER_CREDENTIALS_FULL_URI` is for `SnapStart`, which custom runtimes
//! do not have.

use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableCredentialsProvider,
};
use aws_sdk_ecs::config::{Credentials, SharedCredentialsProvider};
use aws_types::{
    sdk_config,
    service_config::{LoadServiceConfig, ServiceConfigKey},
};

/// Looks a variable up; an empty one is none.
pub(crate) type Variables = fn(&str) -> Option<String>;

/// The variables of this process.
pub(crate) fn variables(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The endpoint of all services, if it is not AWS's.
pub(crate) fn endpoint_url(variables: Variables) -> Option<String> {
    endpoint(variables, "AWS_ENDPOINT_URL")
}

fn endpoint(variables: Variables, name: &str) -> Option<String> {
    let is_ignored = is_true(variables, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") == Some(true);
    if is_ignored { None } else { variables(name) }
}

/// The configuration, but for what our own code decides: connections, retries, timeouts.
pub(crate) fn config(variables: Variables) -> sdk_config::Builder {
    let region = variables("AWS_REGION").or_else(|| variables("AWS_DEFAULT_REGION"));
    let endpoint = endpoint_url(variables);
    let is_here = endpoint.as_deref().is_some_and(is_on_this_machine);
    // An endpoint on this machine looks at no credentials, so none need be there.
    let credentials = if is_here && variables("AWS_ACCESS_KEY_ID").is_none() {
        let any = Credentials::new("test", "test", None, None, "an endpoint on this machine");
        SharedCredentialsProvider::new(any)
    } else {
        SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new())
    };
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region.map(Region::new))
        .credentials_provider(credentials)
        .service_config(ServiceEndpoints(variables));
    config.set_endpoint_url(endpoint);
    config.set_use_fips(is_true(variables, "AWS_USE_FIPS_ENDPOINT"));
    config.set_use_dual_stack(is_true(variables, "AWS_USE_DUALSTACK_ENDPOINT"));
    config
}

pub(crate) fn is_on_this_machine(endpoint: &str) -> bool {
    ["http://127.0.0.1", "http://localhost", "http://[::1]"]
        .iter()
        .any(|local| endpoint.starts_with(local))
}

fn is_true(variables: Variables, name: &str) -> Option<bool> {
    variables(name).map(|value| value.eq_ignore_ascii_case("true"))
}

/// The endpoint of one service, such as `AWS_ENDPOINT_URL_ECS`, before that of all.
///
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
#[derive(Debug)]
struct ServiceEndpoints(Variables);

impl LoadServiceConfig for ServiceEndpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let Self(variables) = *self;
        if key.env() != "AWS_ENDPOINT_URL" {
            return None;
        }
        let service = key.service_id().to_ascii_uppercase().replace(' ', "_");
        endpoint(variables, &format!("AWS_ENDPOINT_URL_{service}"))
            .or_else(|| endpoint_url(variables))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The endpoint of ECS, where the variables are these.
    fn ecs(variables: Variables) -> Option<String> {
        let key = ServiceConfigKey::builder();
        let key = key.service_id("ECS").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
        ServiceEndpoints(variables).load_config(key.unwrap())
    }

    #[test]
    fn region_endpoint_and_switches_come_from_the_environment() {
        let config = config(|name| match name {
            "AWS_DEFAULT_REGION" => Some("eu-west-1".to_owned()),
            "AWS_ENDPOINT_URL" => Some("http://127.0.0.1:1".to_owned()),
            "AWS_USE_FIPS_ENDPOINT" => Some("True".to_owned()),
            _ => None,
        })
        .build();
        assert_eq!(config.region().unwrap().as_ref(), "eu-west-1");
        assert_eq!(config.endpoint_url(), Some("http://127.0.0.1:1"));
        assert_eq!((config.use_fips(), config.use_dual_stack()), (Some(true), None));
    }

    #[test]
    fn a_service_has_its_own_endpoint_or_that_of_all() {
        let all = |name: &str| (name == "AWS_ENDPOINT_URL").then(|| "http://all".to_owned());
        assert_eq!(ecs(all).as_deref(), Some("http://all"));
        let own = |name: &str| name.starts_with("AWS_ENDPOINT_URL").then(|| name.to_owned());
        assert_eq!(ecs(own).as_deref(), Some("AWS_ENDPOINT_URL_ECS"));
    }

    #[test]
    fn configured_endpoints_can_be_ignored() {
        let ignored = |name: &str| match name {
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" => Some("true".to_owned()),
            _ => Some("http://all".to_owned()),
        };
        assert_eq!(ecs(ignored), None);
        assert_eq!(config(ignored).build().endpoint_url(), None);
    }
}
