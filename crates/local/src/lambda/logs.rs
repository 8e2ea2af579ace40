//! What function processes print: to a file per function, and to whoever listens.
//!
//! A process never waits for a listener, and a line has a bounded length, so that a function that prints without end
//! costs disk space and no memory. An unwritable file costs its lines, not the function.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::broadcast,
};

/// The longest line; a longer one is cut into several.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// How many lines a listener may lag behind before it loses some.
const LINES_BEHIND_MAX: usize = 512;

/// A line that a function printed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogLine {
    /// The function.
    pub function: Arc<str>,
    /// The process's id.
    pub process: Arc<str>,
    /// The line, without its end; what is not UTF-8 is replaced.
    pub line: String,
}

/// The log files and the listeners.
#[derive(Debug)]
pub(super) struct Logs {
    dir: PathBuf,
    files: Mutex<HashMap<Arc<str>, Arc<File>>>,
    listeners: broadcast::Sender<LogLine>,
}

impl Logs {
    /// Logs in a directory, which is created.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let (listeners, _) = broadcast::channel(LINES_BEHIND_MAX);
        Ok(Self { dir, files: Mutex::default(), listeners })
    }

    /// Listens from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<LogLine> {
        self.listeners.subscribe()
    }

    /// The log file of a function, open for appending.
    pub(super) fn file(&self, function: &Arc<str>) -> io::Result<Arc<File>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(function) {
            return Ok(Arc::clone(file));
        }
        let path = self.dir.join(format!("{function}.log"));
        let file = Arc::new(OpenOptions::new().append(true).create(true).open(path)?);
        files.insert(Arc::clone(function), Arc::clone(&file));
        Ok(file)
    }

    /// Writes a line of Taskferry's own about a process.
    pub(super) fn note(&self, function: &Arc<str>, process: &Arc<str>, line: &str) {
        let file = self.file(function);
        self.emit(file.as_deref().ok(), function, process, line.as_bytes());
    }

    /// Copies what a process prints, until it and its children have closed the pipe.
    pub(super) async fn copy(
        self: Arc<Self>,
        function: Arc<str>,
        process: Arc<str>,
        mut pipe: impl AsyncRead + Unpin,
    ) {
        let file = self.file(&function);
        if let Err(error) = &file {
            tracing::warn!(%function, %error, "the function's log file cannot be written");
        }
        let file = file.as_deref().ok();
        let mut buffer = Vec::with_capacity(LINE_BYTES_MAX);
        // A pipe that cannot be read is one that has ended.
        while let Ok(1..) =
            (&mut pipe).take((LINE_BYTES_MAX - buffer.len()) as u64).read_buf(&mut buffer).await
        {
            let mut rest = &buffer[..];
            while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                self.emit(file, &function, &process, &rest[..end]);
                rest = &rest[end + 1..];
            }
            if rest.len() >= LINE_BYTES_MAX {
                self.emit(file, &function, &process, rest);
                rest = &[];
            }
            let kept = rest.len();
            buffer.drain(..buffer.len() - kept);
        }
        if !buffer.is_empty() {
            self.emit(file, &function, &process, &buffer);
        }
    }

    fn emit(&self, file: Option<&File>, function: &Arc<str>, process: &Arc<str>, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(mut file) = file {
            // One write, so that lines of several processes do not mix. A full disk costs the line, not the function.
            drop(file.write_all(&[line, b"\n"].concat()));
        }
        if self.listeners.receiver_count() > 0 {
            let line = String::from_utf8_lossy(line).into_owned();
            let line =
                LogLine { function: Arc::clone(function), process: Arc::clone(process), line };
            // Fails when the last listener has just gone.
            drop(self.listeners.send(line));
        }
    }
}
