//! The program of the task's container: `nightly-report BUCKET DAY`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    nightly_report::run(&arguments, &mut std::io::stdout()).await
}
