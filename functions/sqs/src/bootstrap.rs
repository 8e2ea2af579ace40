//! The program that Lambda starts as `bootstrap`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    taskferry_function::run(taskferry_function_sqs::handler).await
}
