//! The examples that can be shown: their files, what is made to happen, and what must come of it.

use anyhow::{Context as _, ensure};
use axum::body::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use taskferry_aws::{Clients, NewMessage};
use taskferry_core::{
    event::schedule,
    run::{Run, Status},
    wiring::Function,
};
use taskferry_local::scheduler;

use super::Story;
use crate::dev::platform::Platform;

/// One of the folders of examples/.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Example {
    /// An upload to S3 starts a batch job
    #[default]
    S3Batch,
    /// A schedule starts a report
    NightlyReport,
    /// The messages of a queue start workers
    QueueWorkers,
}

/// The rule and the time of the schedule that is fired, and the bucket of its orders.
const NIGHTLY: &str = "nightly-report";
const NIGHT: &str = "2026-11-20T22:55:00Z";
const SHOP: &str = "shop";

const ORDERS: &str = "orders";
const INVOICES: &str = "invoices";

impl Example {
    /// Its folder's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::S3Batch => "s3-batch",
            Self::NightlyReport => "nightly-report",
            Self::QueueWorkers => "queue-workers",
        }
    }

    /// Its rules file.
    pub(super) fn rules(self) -> &'static str {
        match self {
            Self::S3Batch => include_str!("../../../../examples/s3-batch/taskferry.yaml"),
            Self::NightlyReport => {
                include_str!("../../../../examples/nightly-report/taskferry.yaml")
            }
            Self::QueueWorkers => include_str!("../../../../examples/queue-workers/taskferry.yaml"),
        }
    }

    /// What it works on, under the name that it has beside the rules file.
    pub(super) fn data(self) -> (&'static str, &'static str) {
        match self {
            Self::S3Batch => ("sales.csv", include_str!("../../../../examples/s3-batch/sales.csv")),
            Self::NightlyReport => {
                ("orders.jsonl", include_str!("../../../../examples/nightly-report/orders.jsonl"))
            }
            Self::QueueWorkers => {
                ("orders.jsonl", include_str!("../../../../examples/queue-workers/orders.jsonl"))
            }
        }
    }

    /// Makes it happen.
    pub(super) async fn begin(
        self,
        platform: &Platform,
        story: &mut Story<'_>,
    ) -> anyhow::Result<()> {
        let clients = Clients::of_endpoint(&platform.endpoint_url()).await;
        let (_, data) = self.data();
        match self {
            Self::S3Batch => {
                let told = format!(
                    "put       s3://sales/incoming/october.csv, {} bytes of CSV",
                    data.len()
                );
                story.tell(&told, None)?;
                let sales = data.as_bytes().to_vec();
                clients.objects().put("sales", "incoming/october.csv", sales).await?;
            }
            Self::NightlyReport => {
                platform.create_bucket(SHOP)?;
                let mut count = 0;
                for order in data.lines() {
                    let id = member(order, "order")?;
                    let key = format!("orders/{}/{id}.json", &NIGHT[..10]);
                    clients.objects().put(SHOP, &key, order.as_bytes().to_vec()).await?;
                    count += 1;
                }
                let told =
                    format!("put       {count} orders into s3://{SHOP}/orders/{}/", &NIGHT[..10]);
                story.tell(&told, None)?;
                story.tell(&format!("fire      {NIGHTLY}, as it is due at {NIGHT}"), None)?;
                let at: Timestamp = NIGHT.parse()?;
                let payload = schedule::payload(NIGHTLY, &scheduler::arn(self.name(), NIGHTLY), at);
                let function = Function::EventBridge.as_str();
                platform.functions().invoke(function, Bytes::from(payload)).await?;
            }
            Self::QueueWorkers => {
                platform.create_bucket(INVOICES)?;
                for order in data.lines() {
                    story.tell(
                        &format!("send      order {} to {ORDERS}", member(order, "orderId")?),
                        None,
                    )?;
                    let message = NewMessage { body: order.to_owned(), ..NewMessage::default() };
                    clients.queues().send(ORDERS, message).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether to do it again is another event.
    pub(super) fn may_be_repeated(self) -> bool {
        self == Self::S3Batch
    }

    /// How many runs come of it.
    pub(super) fn runs(self) -> usize {
        match self {
            Self::S3Batch | Self::NightlyReport => 1,
            // Of six messages one was sent twice.
            Self::QueueWorkers => 5,
        }
    }

    /// Holds the ended runs against what must have come of them.
    pub(super) fn judge(self, runs: &[Run]) -> anyhow::Result<()> {
        let (failed, succeeded): (Vec<&Run>, Vec<&Run>) =
            runs.iter().partition(|run| run.status != Status::Succeeded);
        // What lacks its lines is no order.
        let failures = usize::from(self == Self::QueueWorkers);
        let reason = failed.first().and_then(|run| run.reason.as_deref()).unwrap_or_default();
        ensure!(
            failed.len() == failures && succeeded.len() == self.runs() - failures,
            "{} runs succeeded and {} failed: {reason}",
            succeeded.len(),
            failed.len()
        );
        Ok(())
    }

    /// The object that shows what was done.
    pub(super) fn result(self) -> (&'static str, &'static str) {
        match self {
            Self::S3Batch => ("sales", "reports/october.md"),
            Self::NightlyReport => (SHOP, "reports/2026-11-20.md"),
            Self::QueueWorkers => (INVOICES, "A-2.md"),
        }
    }

    /// What one may do next: a command, and what it is for.
    pub(super) fn next(self, program: &str) -> (String, &'static str) {
        match self {
            Self::S3Batch => (
                "aws s3 cp sales.csv s3://sales/incoming/november.csv".to_owned(),
                "in another: any AWS client will do",
            ),
            Self::NightlyReport => (
                format!("{program} send --schedule {NIGHTLY} --at 2026-11-21T22:55:00Z"),
                "in another: the next night",
            ),
            Self::QueueWorkers => {
                (format!("{program} dead-letters list"), "the order that lacks its lines")
            }
        }
    }
}

/// A text of a line of JSON.
fn member(line: &str, name: &str) -> anyhow::Result<String> {
    let line: Value = serde_json::from_str(line)?;
    let text = line[name].as_str();
    Ok(text.with_context(|| format!("the example's data lack `{name}`"))?.to_owned())
}
