//! A task as anyone would write it: makes the invoice of an order, and puts it into a bucket.
//!
//! It knows nothing of queues. The whole event is in its environment, where the rule has it passed; by its exit code it says
//! whether another attempt may help, and the rule attempts what may.

use std::{
    fmt::{self, Write as _},
    io::Write,
    process::ExitCode,
};

use anyhow::Context as _;
use aws_config::BehaviorVersion;
use aws_sdk_s3::{Client, primitives::ByteStream};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use serde::Deserialize;

/// The order is none: another attempt would find the same (`EX_DATAERR` of sysexits).
const NO_ORDER: u8 = 65;

/// What failed may pass (`EX_TEMPFAIL` of sysexits).
const TRY_AGAIN: u8 = 75;

/// The event of a message, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Event {
    detail: Detail,
}

#[derive(Debug, Deserialize)]
struct Detail {
    body: Order,
}

/// An order, as the shop sends it.
#[derive(Debug, Deserialize)]
struct Order {
    #[serde(rename = "orderId")]
    id: String,
    customer: String,
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    product: String,
    quantity: u64,
    cents: u64,
}

/// Writes `ORDER.md` into the bucket that is the only argument, from the event in `TASKFERRY_EVENT`.
pub async fn run(arguments: &[String], out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let event = std::env::var("TASKFERRY_EVENT").unwrap_or_default();
    let ([bucket], Ok(event)) = (arguments, serde_json::from_str::<Event>(&event)) else {
        // Where nobody reads what is said, the exit code still tells.
        let _told = writeln!(err, "usage: queue-workers BUCKET, with an order in TASKFERRY_EVENT");
        return ExitCode::from(NO_ORDER);
    };
    match write(bucket, &event.detail.body, out).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _told = writeln!(err, "{error:#}");
            ExitCode::from(TRY_AGAIN)
        }
    }
}

async fn write(bucket: &str, order: &Order, out: &mut dyn Write) -> anyhow::Result<()> {
    let key = format!("{}.md", order.id);
    let put = client().await.put_object().bucket(bucket).key(&key);
    put.content_type("text/markdown; charset=utf-8")
        .body(ByteStream::from(order.to_string().into_bytes()))
        .send()
        .await
        .with_context(|| format!("cannot write s3://{bucket}/{key}"))?;
    writeln!(out, "wrote s3://{bucket}/{key}")?;
    Ok(())
}

async fn client() -> Client {
    let https = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(https).load().await;
    // A bucket is not a host name of an endpoint that is given by its address.
    let by_path = config.endpoint_url().is_some();
    Client::from_conf(aws_sdk_s3::config::Builder::from(&config).force_path_style(by_path).build())
}

/// The invoice.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let euros = |cents: u64| format!("€ {}.{:02}", cents / 100, cents % 100);
        let mut total = 0_u64;
        let mut lines = String::new();
        for Line { product, quantity, cents } in &self.lines {
            let sum = quantity.saturating_mul(*cents);
            total = total.saturating_add(sum);
            writeln!(lines, "| {quantity} | {product} | {} |", euros(sum))?;
        }
        writeln!(f, "# Invoice {}\n\nFor {}.\n", self.id, self.customer)?;
        writeln!(f, "| quantity | product | price |\n|---:|---|---:|\n{lines}")?;
        writeln!(f, "In all {}.", euros(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_becomes_an_invoice() {
        let event = r#"{ "detail": { "messageId": "1", "body": { "orderId": "A-7", "customer": "Ada", "lines": [
            { "product": "Lamp", "quantity": 2, "cents": 1999 }, { "product": "Chair", "quantity": 1, "cents": 8900 }
        ] } } }"#;
        let event: Event = serde_json::from_str(event).unwrap();
        assert_eq!(
            event.detail.body.to_string(),
            "# Invoice A-7\n\nFor Ada.\n\n| quantity | product | price |\n|---:|---|---:|\n\
             | 2 | Lamp | € 39.98 |\n| 1 | Chair | € 89.00 |\n\nIn all € 128.98.\n"
        );
    }
}
