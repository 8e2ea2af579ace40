//! A task as anyone would write it: adds up the orders of a day, an object each, and writes a report of them.
//!
//! It knows nothing of Taskferry. The day stands in its command, which the rule renders from the time that the schedule was
//! due: a run that is attempted again, or late, reports the same day.

use std::{collections::BTreeMap, fmt::Write as _, io::Write};

use anyhow::{Context as _, bail};
use aws_config::BehaviorVersion;
use aws_sdk_s3::{Client, primitives::ByteStream};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use serde::Deserialize;

/// An order, as the shop puts it into the bucket.
#[derive(Debug, Deserialize)]
struct Order {
    customer: String,
    cents: u64,
}

/// What the orders of a day come to, in cents.
#[derive(Debug, Default)]
struct Report {
    orders: usize,
    by_customer: BTreeMap<String, u64>,
}

/// Reads the orders below `orders/DAY/` of a bucket, and writes `reports/DAY.md`.
///
/// # Errors
///
/// If the arguments are not a bucket and a day, S3 refuses, or an object is no order.
pub async fn run(arguments: &[String], out: &mut dyn Write) -> anyhow::Result<()> {
    let [bucket, day] = arguments else { bail!("usage: nightly-report BUCKET YYYY-MM-DD") };
    let s3 = client().await;

    let mut report = Report::default();
    let prefix = format!("orders/{day}/");
    let mut pages = s3.list_objects_v2().bucket(bucket).prefix(&prefix).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.with_context(|| format!("cannot list s3://{bucket}/{prefix}"))?;
        for key in page.contents().iter().filter_map(|object| object.key()) {
            let cannot = || format!("cannot read s3://{bucket}/{key}");
            let object =
                s3.get_object().bucket(bucket).key(key).send().await.with_context(cannot)?;
            let order = object.body.collect().await.with_context(cannot)?.to_vec();
            report.add(key, &order)?;
        }
    }
    writeln!(out, "read {} orders of {day}", report.orders)?;

    let key = format!("reports/{day}.md");
    s3.put_object()
        .bucket(bucket)
        .key(&key)
        .content_type("text/markdown; charset=utf-8")
        .body(ByteStream::from(report.text(day).into_bytes()))
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

impl Report {
    fn add(&mut self, key: &str, order: &[u8]) -> anyhow::Result<()> {
        let order: Order =
            serde_json::from_slice(order).with_context(|| format!("{key} is no order"))?;
        let sum = self.by_customer.entry(order.customer).or_default();
        *sum = sum.saturating_add(order.cents);
        self.orders += 1;
        Ok(())
    }

    fn text(&self, day: &str) -> String {
        let euros = |cents: u64| format!("€ {}.{:02}", cents / 100, cents % 100);
        let total = self.by_customer.values().fold(0, |sum: u64, cents| sum.saturating_add(*cents));
        let mut text =
            format!("# Orders of {day}\n\n{} orders, {} in all.\n", self.orders, euros(total));
        if self.orders > 0 {
            text.push_str("\n| customer | revenue |\n|---|---:|\n");
        }
        for (customer, cents) in &self.by_customer {
            writeln!(text, "| {customer} | {} |", euros(*cents)).expect("a string takes all");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_added_up_by_customer() {
        let mut report = Report::default();
        for order in [
            r#"{ "order": "1", "customer": "Ada", "cents": 1250 }"#,
            r#"{ "order": "2", "customer": "Bo", "cents": 99 }"#,
            r#"{ "order": "3", "customer": "Ada", "cents": 1 }"#,
        ] {
            report.add("orders/2026-11-20/1.json", order.as_bytes()).unwrap();
        }
        assert_eq!(
            report.text("2026-11-20"),
            "# Orders of 2026-11-20\n\n3 orders, € 13.50 in all.\n\n\
             | customer | revenue |\n|---|---:|\n| Ada | € 12.51 |\n| Bo | € 0.99 |\n"
        );
    }

    #[test]
    fn a_day_without_orders_has_a_report_too() {
        let text = Report::default().text("2026-11-20");
        assert_eq!(text, "# Orders of 2026-11-20\n\n0 orders, € 0.00 in all.\n");
    }

    #[test]
    fn an_object_that_is_no_order_is_named() {
        let refused = Report::default().add("orders/2026-11-20/1.json", b"[]").unwrap_err();
        assert_eq!(refused.to_string(), "orders/2026-11-20/1.json is no order");
    }
}
