//! Requests to AWS's services over plain HTTP, on a connection that is kept: what any client sends, for as little work as
//! can be.
//!
//! The SDK would do, and would take a good part of the two cores that are to be measured.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// How long a server may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// A client with a connection of its own, kept where its server keeps it.
pub(crate) struct Client {
    host: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    /// Of an endpoint such as `http://127.0.0.1:4566`.
    pub(crate) fn new(endpoint: &str) -> Self {
        Self { host: endpoint.trim_start_matches("http://").to_owned(), stream: None }
    }

    /// Puts an object.
    pub(crate) fn put(&mut self, bucket: &str, key: &str, body: &str) -> anyhow::Result<()> {
        let request = self.whole("PUT", &format!("/{bucket}/{key}"), "", body);
        self.send(&request).context("PutObject")?;
        Ok(())
    }

    /// Makes a call of a service that takes JSON, such as `AmazonSQS.SendMessage`.
    pub(crate) fn call(&mut self, target: &str, request: &Value) -> anyhow::Result<Value> {
        let request = self.request(target, request);
        self.exchange(&request).with_context(|| target.to_owned())
    }

    /// A call as it goes over the wire, to be made again and again.
    pub(crate) fn request(&self, target: &str, request: &Value) -> String {
        let headers = format!(
            "x-amz-target: {target}\r\ncontent-type: application/x-amz-json-1.0\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=any/20261121/us-east-1/sqs/aws4_request, SignedHeaders=host, \
             Signature=0\r\n"
        );
        self.whole("POST", "/", &headers, &request.to_string())
    }

    /// Sends such a call, and returns its answer.
    pub(crate) fn exchange(&mut self, request: &str) -> anyhow::Result<Value> {
        let answer = self.send(request)?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Queues an invocation of a function.
    pub(crate) fn invoke(&mut self, function: &str, payload: &str) -> anyhow::Result<()> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let request = self.whole("POST", &path, "x-amz-invocation-type: Event\r\n", payload);
        self.send(&request).context("Invoke")?;
        Ok(())
    }

    fn whole(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}content-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        )
    }

    /// Sends a request, and returns the body of its answer once it has come whole.
    fn send(&mut self, request: &str) -> anyhow::Result<Vec<u8>> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        stream.get_mut().write_all(request.as_bytes())?;
        let Answer { status, body, is_kept } = read_answer(&mut stream)?;
        self.stream = is_kept.then_some(stream);
        if !status.split(' ').nth(1).is_some_and(|code| code.starts_with('2')) {
            bail!("{status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }

    fn connect(&self) -> anyhow::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(&self.host)
            .with_context(|| format!("cannot reach {}", self.host))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(BufReader::new(stream))
    }
}

struct Answer {
    status: String,
    body: Vec<u8>,
    /// Whether the connection may be used again.
    is_kept: bool,
}

fn read_answer(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Answer> {
    let (mut status, mut length, mut is_kept) = (String::new(), None, true);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            bail!("the server closed the connection");
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if status.is_empty() {
            line.clone_into(&mut status);
            is_kept = status.starts_with("HTTP/1.1");
        } else if let Some((name, value)) = line.split_once(':') {
            match (name.to_ascii_lowercase().as_str(), value.trim()) {
                ("content-length", value) => length = Some(value.parse()?),
                ("connection", value) if value.eq_ignore_ascii_case("close") => is_kept = false,
                _ => {}
            }
        }
    }
    let mut body = Vec::new();
    match length {
        Some(length) => {
            body.resize(length, 0);
            stream.read_exact(&mut body)?;
        }
        None if is_kept => bail!("an answer without a length"),
        None => {
            stream.read_to_end(&mut body)?;
        }
    }
    Ok(Answer { status, body, is_kept })
}
