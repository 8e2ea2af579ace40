//! The SDK's configuration, once for all clients of a process.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use crate::{EcsTasks, Events, Objects};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one try of a call may take; past it, whether ECS acted is unknown.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// What all clients of a process share: credentials, Region, endpoint, connections.
#[derive(Clone, Debug)]
pub struct Clients {
    config: SdkConfig,
}

impl Clients {
    /// Clients as the environment says: `AWS_REGION`, `AWS_ENDPOINT_URL`, credentials and so on.
    ///
    /// An endpoint on this machine looks at no credentials, so none need be there: the search for some would end at an
    /// address that only AWS's machines have.
    pub async fn from_env() -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match std::env::var("AWS_ENDPOINT_URL") {
            Ok(endpoint) if is_on_this_machine(&endpoint) && !is_set("AWS_ACCESS_KEY_ID") => {
                Self::of_endpoint(&endpoint).await
            }
            Ok(endpoint) => Self { config: loader(Some(&endpoint)).load().await },
            Err(_) => Self { config: loader(None).load().await },
        }
    }

    /// Clients of an endpoint on this machine, with credentials that it will not look at.
    pub async fn of_endpoint(endpoint_url: &str) -> Self {
        let loader = loader(Some(endpoint_url))
            .endpoint_url(endpoint_url)
            .region(Region::from_static("us-east-1"))
            .test_credentials();
        Self { config: loader.load().await }
    }

    /// The tasks of ECS.
    pub fn tasks(&self) -> EcsTasks {
        EcsTasks::new(aws_sdk_ecs::Client::new(&self.config))
    }

    /// The event buses of EventBridge.
    pub fn events(&self) -> Events {
        Events::new(aws_sdk_eventbridge::Client::new(&self.config))
    }

    /// The objects of S3.
    pub fn objects(&self) -> Objects {
        // A bucket is not a host name of an endpoint that is given by its address.
        let by_path = self.config.endpoint_url().is_some();
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(by_path);
        Objects::new(aws_sdk_s3::Client::from_conf(config.build()))
    }
}

fn is_on_this_machine(endpoint: &str) -> bool {
    ["http://127.0.0.1", "http://localhost", "http://[::1]"]
        .iter()
        .any(|local| endpoint.starts_with(local))
}

fn loader(endpoint: Option<&str>) -> aws_config::ConfigLoader {
    // Reading the system's root certificates is most of a function's start: not where nothing will be encrypted.
    let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let http_client = if is_plain {
        Builder::new().build_http()
    } else {
        Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
    };
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .build(),
        )
}
