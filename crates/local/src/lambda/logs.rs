//! What function processes print: to a file per function, and to whoever listens.
//!
//! A process never waits for a listener, a line has a bounded length, and a file that is full becomes the former one, in
//! whose place it is put: a function that prints without end costs neither memory nor much of the disk. An unwritable
//! file costs its lines, not the function.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    /// How large a file may become.
    bytes_max: u64,
    files: Mutex<HashMap<Arc<str>, LogFile>>,
    listeners: broadcast::Sender<LogLine>,
}

/// The newer of a function's two log files.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl LogFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes })
    }

    /// Appends a line, to a new file where this one is full.
    fn append(&mut self, line: &[u8], bytes_max: u64) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > bytes_max {
            // In one step: there is no moment without the former lines.
            fs::rename(&self.path, self.path.with_extension("1.log"))?;
            *self = Self::open(self.path.clone())?;
        }
        // One write, so that a reader sees whole lines.
        self.file.write_all(line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

impl Logs {
    /// Logs in a directory, which is created; a function has two files there, of `bytes_max` bytes each at most.
    pub(super) fn open(dir: PathBuf, bytes_max: u64) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let (listeners, _) = broadcast::channel(LINES_BEHIND_MAX);
        Ok(Self { dir, bytes_max, files: Mutex::default(), listeners })
    }

    /// Listens from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<LogLine> {
        self.listeners.subscribe()
    }

    fn files(&self) -> MutexGuard<'_, HashMap<Arc<str>, LogFile>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line to a function's file.
    fn write(&self, function: &Arc<str>, line: &[u8]) -> io::Result<()> {
        let mut files = self.files();
        if !files.contains_key(function) {
            let file = LogFile::open(self.dir.join(format!("{function}.log")))?;
            files.insert(Arc::clone(function), file);
        }
        let Some(file) = files.get_mut(function) else { return Ok(()) };
        let written = file.append(&[line, b"\n"].concat(), self.bytes_max);
        if written.is_err() {
            // Opened anew for the next line: it may be the file that is at fault.
            files.remove(function);
        }
        written
    }

    /// Writes a line of Taskferry's own about a process.
    pub(super) fn note(&self, function: &Arc<str>, process: &Arc<str>, line: &str) {
        self.emit(function, process, line.as_bytes());
    }

    /// Copies what a process prints, until it and its children have closed the pipe.
    pub(super) async fn copy(
        self: Arc<Self>,
        function: Arc<str>,
        process: Arc<str>,
        mut pipe: impl AsyncRead + Unpin,
    ) {
        let mut buffer = Vec::with_capacity(LINE_BYTES_MAX);
        // A pipe that cannot be read is one that has ended.
        while let Ok(1..) =
            (&mut pipe).take((LINE_BYTES_MAX - buffer.len()) as u64).read_buf(&mut buffer).await
        {
            let mut rest = &buffer[..];
            while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                self.emit(&function, &process, &rest[..end]);
                rest = &rest[end + 1..];
            }
            if rest.len() >= LINE_BYTES_MAX {
                self.emit(&function, &process, rest);
                rest = &[];
            }
            let kept = rest.len();
            buffer.drain(..buffer.len() - kept);
        }
        if !buffer.is_empty() {
            self.emit(&function, &process, &buffer);
        }
    }

    fn emit(&self, function: &Arc<str>, process: &Arc<str>, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Err(error) = self.write(function, line) {
            // Told only where somebody looks for it: on a full disk there is a line of it for each line.
            tracing::debug!(%function, %error, "a line is not in the function's log");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_log_becomes_the_former_one_and_every_line_is_kept_and_shown() {
        let dir = tempfile::tempdir().unwrap();
        let printed: Vec<String> = (10..50).map(|number| format!("line {number}")).collect();
        let function: Arc<str> = "f".into();
        // Eight bytes a line: a file has room for five.
        let open = || Arc::new(Logs::open(dir.path().to_owned(), 40 + 7).unwrap());
        let logs = open();
        let mut listener = logs.subscribe();
        let mut kept = String::new();
        for lines in printed.chunks(8) {
            let pipe = format!("{}\n", lines.join("\n"));
            Arc::clone(&logs).copy(Arc::clone(&function), "1".into(), pipe.as_bytes()).await;
        }
        for line in &printed {
            assert_eq!(listener.recv().await.unwrap().line, *line);
        }
        // A later server goes on in the same files.
        open().note(&function, &"2".into(), "one more");
        for file in ["f.1.log", "f.log"] {
            kept += &fs::read_to_string(dir.path().join(file)).unwrap();
        }
        let files = fs::read_dir(dir.path()).unwrap().count();
        let expected = [&printed[35..], &["one more".to_owned()]].concat().join("\n");
        assert_eq!((files, kept), (2, format!("{expected}\n")));
    }
}
