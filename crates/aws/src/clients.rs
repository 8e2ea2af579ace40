//! The SDK's configuration, once for all clients of a process.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    connector_metadata::ConnectorMetadata,
    http::{HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector},
    runtime_components::RuntimeComponents,
};

use crate::{
    DynamoRuns, EcsTasks, Events, Objects, Queues,
    environment::{self, is_on_this_machine},
};

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
    /// Clients as Lambda's environment says, at the cost of what a function uses.
    ///
    /// Unlike [`Self::from_env`] this looks at nothing but the environment: no profile files, no other machines.
    pub fn of_function() -> Self {
        let variables = environment::variables;
        let endpoint = environment::endpoint_url(variables);
        let mut config = environment::config(variables);
        config.set_http_client(Some(http_client(endpoint.as_deref())));
        config.set_retry_config(Some(retry_config()));
        config.set_timeout_config(Some(timeout_config()));
        Self { config: config.build() }
    }

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

    /// The records of the runs in this table of DynamoDB.
    pub fn runs(&self, table: &str) -> DynamoRuns {
        DynamoRuns::new(aws_sdk_dynamodb::Client::new(&self.config), table)
    }

    /// The tasks of ECS.
    pub fn tasks(&self) -> EcsTasks {
        EcsTasks::new(aws_sdk_ecs::Client::new(&self.config))
    }

    /// The event buses of EventBridge.
    pub fn events(&self) -> Events {
        Events::new(aws_sdk_eventbridge::Client::new(&self.config))
    }

    /// The queues of SQS.
    pub fn queues(&self) -> Queues {
        Queues::new(aws_sdk_sqs::Client::new(&self.config))
    }

    /// The objects of S3.
    pub fn objects(&self) -> Objects {
        // A bucket is not a host name of an endpoint that is given by its address.
        let by_path = self.config.endpoint_url().is_some();
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(by_path);
        Objects::new(aws_sdk_s3::Client::from_conf(config.build()))
    }
}

fn loader(endpoint: Option<&str>) -> aws_config::ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(endpoint))
        .retry_config(retry_config())
        .timeout_config(timeout_config())
}

fn retry_config() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(3)
}

fn timeout_config() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build()
}

fn http_client(endpoint: Option<&str>) -> SharedHttpClient {
    // Nothing will be encrypted there, so no root certificates are needed.
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        return Builder::new().build_http();
    }
    let tls = Provider::Rustls(CryptoMode::Ring);
    SharedHttpClient::new(SetUpLate(Builder::new().tls_provider(tls).build_https()))
}

/// An HTTP client that reads the system's root certificates with its first call.
///
/// The SDK's own reads them twice: when a client is made, to see that it can, and for the first call. Half of a function's
/// start went into the first, and an event that no rule matches needs neither.
#[derive(Debug)]
struct SetUpLate(SharedHttpClient);

impl HttpClient for SetUpLate {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.0.http_connector(settings, components)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}
