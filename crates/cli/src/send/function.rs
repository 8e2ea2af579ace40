//! The functions of a `taskferry dev`, and how one is invoked as the service that owns an event would.
//!
//! For events that no client may send: S3's and those of a schedule. It must never reach beyond this machine.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, bail};
use taskferry_core::{rules::Rules, wiring::Function};

use crate::{
    output::hinted,
    state::{Endpoint, StateDir},
};

/// How long it is waited for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What runs on a state directory.
pub(super) struct Deployed {
    /// The rules that it goes by.
    pub(super) rules: Rules,
    pub(super) endpoint: Endpoint,
    address: String,
}

impl Deployed {
    /// The `taskferry dev` of a state directory; where the environment names another endpoint, `refusal` says why that
    /// will not do.
    pub(super) fn on(state: &StateDir, refusal: &str) -> anyhow::Result<Self> {
        let endpoint = state.endpoint()?;
        let address = match &endpoint {
            Endpoint::OfState(address) => address.clone(),
            Endpoint::OfEnvironment(url) => {
                let dir = state.path().display();
                return Err(hinted(
                    format!(
                        "AWS_ENDPOINT_URL is {url}, where no `taskferry dev` listens that has its state in {dir}; {refusal}"
                    ),
                    "name the state directory of its `taskferry dev` with --state, or unset the variable",
                ));
            }
        };
        let path = state.rules();
        let rules =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let rules = Rules::from_json(&rules).context("the deployed rules cannot be used")?;
        Ok(Self { rules, endpoint, address })
    }

    /// Queues an invocation of a function.
    ///
    /// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
    pub(super) fn invoke(&self, function: Function, payload: &str) -> anyhow::Result<()> {
        let address = &self.address;
        let host = address.trim_start_matches("http://").trim_end_matches('/');
        let connected = TcpStream::connect(host).and_then(|stream| {
            stream.set_read_timeout(Some(TIMEOUT))?;
            Ok(stream)
        });
        let mut stream = connected.with_context(|| format!("{address} does not answer"))?;
        let request = format!(
            "POST /2015-03-31/functions/{}/invocations HTTP/1.1\r\nHost: {host}\r\nX-Amz-Invocation-Type: Event\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{payload}",
            function.as_str(),
            payload.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut status = String::new();
        BufReader::new(stream).read_line(&mut status)?;
        if status.split(' ').nth(1) != Some("202") {
            bail!("the function {} was not invoked: {}", function.as_str(), status.trim());
        }
        Ok(())
    }
}
