//! `PutObject` over plain HTTP, on a connection that is kept: what any client sends, for as little work as can be.
//!
//! The SDK would do, and would take a good part of the two cores that are to be measured.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, bail};

/// How long the server may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// A connection to S3.
pub(crate) struct Connection {
    host: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to an endpoint such as `http://127.0.0.1:4566`.
    pub(crate) fn open(endpoint: &str) -> anyhow::Result<Self> {
        let host = endpoint.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&host).with_context(|| format!("cannot reach {host}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { host, stream: BufReader::new(stream) })
    }

    /// Puts an object, and returns once the answer has come.
    pub(crate) fn put(&mut self, bucket: &str, key: &str, body: &str) -> anyhow::Result<()> {
        let request = format!(
            "PUT /{bucket}/{key} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut status = String::new();
        let mut content_length = 0;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                bail!("the server closed the connection");
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if status.is_empty() {
                line.clone_into(&mut status);
            } else if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                content_length = value.trim().parse()?;
            }
        }
        let mut answer = vec![0; content_length];
        self.stream.read_exact(&mut answer)?;
        if !status.starts_with("HTTP/1.1 200 ") {
            bail!("PutObject: {status}: {}", String::from_utf8_lossy(&answer));
        }
        Ok(())
    }
}
