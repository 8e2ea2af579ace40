//! Blobs: the bytes of objects and parts, one immutable file each, under a generated name in the bucket's folder.
//!
//! A [`Draft`] is a blob that no row names yet; dropped before [`Draft::keep`], it takes its file with it. Bodies pass
//! through in blocks: none is ever whole in memory.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use s3s::dto::StreamingBlob;
use uuid::Uuid;

use super::{
    blocking,
    digests::{Digests, Hasher},
    fault::{Fault, broken_body},
};

/// How much of a body is gathered before it is hashed and written.
const BLOCK_BYTES: usize = 256 * 1024;

/// So little is hashed and written at once: less work than having another thread do it.
const LITTLE_BYTES: usize = 16 * 1024;

/// The folder of the blobs.
#[derive(Debug)]
pub(super) struct Blobs {
    dir: PathBuf,
}

/// A blob that no row names yet.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    name: String,
    file: File,
    size: u64,
    kept: bool,
}

impl Blobs {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Writes a request's body down, hashing it on the way.
    pub(super) async fn receive(
        &self,
        bucket: &str,
        body: Option<StreamingBlob>,
        mut hasher: Hasher,
    ) -> Result<(Draft, Digests), Fault> {
        let mut body = body;
        let mut draft: Option<Draft> = None;
        loop {
            let (block, ended) = gather(body.as_mut()).await?;
            let bytes: usize = block.iter().map(Bytes::len).sum();
            let folder = self.dir.join(bucket);
            let unfinished = draft.take();
            let write = move || {
                let mut draft = match unfinished {
                    Some(draft) => draft,
                    None => Draft::create(&folder)?,
                };
                for bytes in &block {
                    hasher.update(bytes);
                    draft.write(bytes)?;
                }
                Ok((draft, hasher))
            };
            let (written, running) =
                if bytes <= LITTLE_BYTES { write()? } else { blocking(write).await? };
            hasher = running;
            if ended {
                return Ok((written, hasher.finish()));
            }
            draft = Some(written);
        }
    }

    /// Copies a range of a blob, hashing it on the way.
    pub(super) async fn copy(
        &self,
        bucket: &str,
        mut from: File,
        range: Range<u64>,
        mut hasher: Hasher,
    ) -> Result<(Draft, Digests), Fault> {
        let folder = self.dir.join(bucket);
        blocking(move || {
            let mut draft = Draft::create(&folder)?;
            from.seek(SeekFrom::Start(range.start))?;
            let mut from = from.take(range.end - range.start);
            let mut block = vec![0; BLOCK_BYTES];
            loop {
                let read = from.read(&mut block)?;
                if read == 0 {
                    break;
                }
                hasher.update(&block[..read]);
                draft.write(&block[..read])?;
            }
            Ok((draft, hasher.finish()))
        })
        .await
    }

    /// Strings blobs together into one.
    pub(super) async fn concatenate(
        &self,
        bucket: &str,
        names: Vec<String>,
    ) -> Result<Draft, Fault> {
        let folder = self.dir.join(bucket);
        blocking(move || {
            let mut draft = Draft::create(&folder)?;
            for name in names {
                let mut part = File::open(folder.join(name))?;
                draft.size += io::copy(&mut part, &mut draft.file)?;
            }
            Ok(draft)
        })
        .await
    }

    /// Opens a blob, or `None` if its object was replaced or deleted since its row was read.
    pub(super) async fn open(&self, bucket: &str, name: &str) -> Result<Option<File>, Fault> {
        let path = self.dir.join(bucket).join(name);
        blocking(move || match File::open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        })
        .await
    }

    /// Deletes blobs that no row names any more. What cannot be deleted now goes at the next start.
    pub(super) async fn discard(&self, bucket: &str, names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        let folder = self.dir.join(bucket);
        let discarded = blocking(move || {
            for name in names {
                fs::remove_file(folder.join(name))?;
            }
            Ok(())
        })
        .await;
        if let Err(error) = discarded {
            tracing::warn!(bucket, error = &error as &dyn std::error::Error, "blob left behind");
        }
    }

    /// Removes a deleted bucket's folder, unless something is in it again.
    pub(super) async fn remove_folder(&self, bucket: &str) {
        let folder = self.dir.join(bucket);
        let removed = blocking(move || match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => Ok(removed?),
        })
        .await;
        if let Err(error) = removed {
            tracing::warn!(bucket, error = &error as &dyn std::error::Error, "folder left behind");
        }
    }
}

impl Draft {
    fn create(folder: &Path) -> io::Result<Self> {
        let name = Uuid::now_v7().simple().to_string();
        let path = folder.join(&name);
        let mut created = File::create_new(&path);
        // The folder comes with the bucket's first object. A bucket that is deleted meanwhile may take the folder away
        // again, so the second try can fail too; the bucket is then gone, and the row would be refused.
        if matches!(&created, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            fs::create_dir_all(folder)?;
            created = File::create_new(&path);
        }
        Ok(Self { path, name, file: created?, size: 0, kept: false })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// The name to be written into a row.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// A row names the blob: it stays.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "blob left behind");
        }
    }
}

/// The next block of a body, and whether it is the last.
async fn gather(body: Option<&mut StreamingBlob>) -> Result<(Vec<Bytes>, bool), Fault> {
    let mut block = Vec::new();
    let Some(body) = body else { return Ok((block, true)) };
    let mut gathered = 0;
    while gathered < BLOCK_BYTES {
        match body.next().await {
            Some(Ok(bytes)) => {
                gathered += bytes.len();
                block.push(bytes);
            }
            Some(Err(error)) => return Err(broken_body(&*error)),
            None => return Ok((block, true)),
        }
    }
    Ok((block, false))
}

/// The bytes of a range of a blob: at once if they are few, else block by block as the client takes them.
pub(super) async fn read(mut file: File, range: Range<u64>) -> Result<StreamingBlob, Fault> {
    let length = range.end - range.start;
    let first = blocking(move || {
        file.seek(SeekFrom::Start(range.start))?;
        read_block(file, length)
    })
    .await?;
    let (bytes, rest) = first;
    match rest {
        None => Ok(StreamingBlob::wrap(stream::once(async { io::Result::Ok(bytes) }))),
        Some((file, left)) => Ok(StreamingBlob::wrap(
            stream::once(async { io::Result::Ok(bytes) }).chain(blocks(file, left)),
        )),
    }
}

fn blocks(file: File, left: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync {
    stream::try_unfold(Some((file, left)), async |rest| {
        let Some((file, left)) = rest else { return Ok(None) };
        match blocking(move || read_block(file, left)).await {
            Ok(block) => Ok(Some(block)),
            Err(fault) => Err(io::Error::other(fault)),
        }
    })
}

/// The next block of a file of which `left` bytes are wanted, and the file if that was not all.
fn read_block(mut file: File, left: u64) -> Result<(Bytes, Option<(File, u64)>), Fault> {
    let length = usize::try_from(left).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
    let mut block = vec![0; length];
    file.read_exact(&mut block)?;
    let left = left - length as u64;
    Ok((block.into(), (left > 0).then_some((file, left))))
}

/// Deletes the files of `dir` that are ours and that no row names, and the folders that this empties.
pub(super) fn sweep(dir: &Path, named: &HashSet<String>) -> io::Result<()> {
    for folder in fs::read_dir(dir)? {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        let mut empty = true;
        for file in fs::read_dir(folder.path())? {
            let file = file?;
            let name = file.file_name();
            let ours = name.to_str().filter(|name| Uuid::try_parse(name).is_ok());
            match ours {
                Some(name) if !named.contains(name) => fs::remove_file(file.path())?,
                _ => empty = false,
            }
        }
        if empty {
            fs::remove_dir(folder.path())?;
        }
    }
    Ok(())
}
