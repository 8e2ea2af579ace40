//! A task as anyone would write it: reads a CSV file of sales from S3, and writes a report back.
//!
//! It knows nothing of Taskferry. What to read and where to write stands in its command, which the rule renders from the
//! event; where S3 is and who it may be comes from the environment, on AWS as on one machine.

mod report;

use std::{io::Write, str::FromStr};

use anyhow::{Context as _, anyhow, bail};
use aws_config::BehaviorVersion;
use aws_sdk_s3::{Client, primitives::ByteStream};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use self::report::Report;

/// Reads the CSV file that the first argument names, and writes the report to where the second one says.
///
/// # Errors
///
/// If the arguments are not two S3 locations, S3 refuses, or the file is not a CSV file of sales.
pub async fn run(arguments: &[String], out: &mut dyn Write) -> anyhow::Result<()> {
    let [input, output] = arguments else {
        bail!("usage: s3-batch s3://BUCKET/INPUT.csv s3://BUCKET/OUTPUT.md");
    };
    let (input, output) = (input.parse::<Location>()?, output.parse::<Location>()?);
    let s3 = client().await;

    let object = s3.get_object().bucket(&input.bucket).key(&input.key).send().await;
    let object = object.with_context(|| format!("cannot read {input}"))?;
    let sales = object.body.collect().await.with_context(|| format!("cannot read {input}"))?;
    let report = Report::of(&input.key, &sales.to_vec())?;

    writeln!(out, "read {} sales from {input}", report.sales())?;
    s3.put_object()
        .bucket(&output.bucket)
        .key(&output.key)
        .content_type("text/markdown; charset=utf-8")
        .body(ByteStream::from(report.to_string().into_bytes()))
        .send()
        .await
        .with_context(|| format!("cannot write {output}"))?;
    writeln!(out, "wrote {output}")?;
    Ok(())
}

async fn client() -> Client {
    let https = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(https).load().await;
    // A bucket is not a host name of an endpoint that is given by its address.
    let by_path = config.endpoint_url().is_some();
    Client::from_conf(aws_sdk_s3::config::Builder::from(&config).force_path_style(by_path).build())
}

/// `s3://bucket/key`.
#[derive(Debug)]
struct Location {
    bucket: String,
    key: String,
}

impl FromStr for Location {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix("s3://")
            .and_then(|path| path.split_once('/'))
            .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
            .map(|(bucket, key)| Self { bucket: bucket.to_owned(), key: key.to_owned() })
            .ok_or_else(|| anyhow!("`{text}` is not of the form s3://BUCKET/KEY"))
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}
