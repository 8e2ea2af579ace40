//! The program of the task's container: `s3-batch s3://BUCKET/INPUT.csv s3://BUCKET/OUTPUT.md`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    s3_batch::run(&arguments, &mut std::io::stdout()).await
}
