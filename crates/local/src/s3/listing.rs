//! Listing: keys in the order of their bytes, rolled up at a delimiter, page by page.
//!
//! A rolled-up group is stepped over with one look-up, however many keys are in it.

use rusqlite::Connection;
use s3s::{
    S3ErrorCode,
    dto::{
        ChecksumAlgorithm, ChecksumType, CommonPrefix, ETag, EncodingType, ListObjectsInput,
        ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, Object as Listed,
        ObjectStorageClass,
    },
};

use super::{
    S3,
    buckets::{self, owner},
    digests::Checksum,
    fault::{Fault, refuse},
    notification::encode_key,
    objects::{Properties, timestamp},
};
use crate::hex::hex;

/// How many keys a page lists at most.
pub(super) const PAGE_MAX: u32 = 1000;

/// Which keys are listed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    pub(super) bucket: &'a str,
    pub(super) prefix: &'a str,
    pub(super) delimiter: &'a str,
    /// Only what comes after this in the list: a key or a common prefix.
    pub(super) after: &'a [u8],
    pub(super) max: u32,
}

/// A page of a list.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<Row>,
    pub(super) common_prefixes: Vec<String>,
    /// The last entry of the page, if there is more behind it.
    pub(super) next: Option<String>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) size: i64,
    pub(super) etag: String,
    pub(super) modified_at: i64,
    pub(super) checksum: Checksum,
    pub(super) storage_class: Option<String>,
}

/// What an entry of a list is.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Entry {
    /// A key of its own.
    Key(String),
    /// All keys that begin so.
    CommonPrefix(String),
}

impl S3 {
    pub(super) fn list_v2(&self, input: ListObjectsV2Input) -> Result<ListObjectsV2Output, Fault> {
        let max = page_size("max-keys", input.max_keys, PAGE_MAX)?;
        let after = match &input.continuation_token {
            Some(token) if token.is_empty() => return Err(no_token()),
            Some(token) => read_token(token)?,
            None => input.start_after.clone().unwrap_or_default().into_bytes(),
        };
        let page = self.page(Query {
            bucket: &input.bucket,
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref().unwrap_or_default(),
            after: &after,
            max,
        })?;
        let encode = Encoder::new(input.encoding_type.as_ref())?;
        let with_owner = input.fetch_owner == Some(true);
        let count = page.objects.len() + page.common_prefixes.len();
        Ok(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(encode.text(input.prefix.unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| encode.text(delimiter)),
            // Whoever goes on by a token does not start over.
            start_after: input
                .start_after
                .filter(|_| input.continuation_token.is_none())
                .map(|key| encode.text(key)),
            max_keys: Some(max.cast_signed()),
            key_count: i32::try_from(count).ok(),
            continuation_token: input.continuation_token,
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.map(hex),
            contents: Some(encode.objects(page.objects, with_owner)),
            common_prefixes: Some(encode.common_prefixes(page.common_prefixes)),
            encoding_type: input.encoding_type,
            request_charged: None,
        })
    }

    pub(super) fn list_v1(&self, input: ListObjectsInput) -> Result<ListObjectsOutput, Fault> {
        let max = page_size("max-keys", input.max_keys, PAGE_MAX)?;
        let page = self.page(Query {
            bucket: &input.bucket,
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref().unwrap_or_default(),
            after: input.marker.as_deref().unwrap_or_default().as_bytes(),
            max,
        })?;
        let encode = Encoder::new(input.encoding_type.as_ref())?;
        // https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html
        // "This element is returned only if you have the delimiter request parameter specified."
        let next_marker = page.next.clone().filter(|_| input.delimiter.is_some());
        Ok(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(encode.text(input.prefix.unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| encode.text(delimiter)),
            marker: Some(encode.text(input.marker.unwrap_or_default())),
            max_keys: Some(max.cast_signed()),
            is_truncated: Some(page.next.is_some()),
            next_marker: next_marker.map(|key| encode.text(key)),
            contents: Some(encode.objects(page.objects, true)),
            common_prefixes: Some(encode.common_prefixes(page.common_prefixes)),
            encoding_type: input.encoding_type,
            request_charged: None,
        })
    }

    pub(super) fn page(&self, query: Query<'_>) -> Result<Page, Fault> {
        self.db.read(|connection| {
            buckets::check(connection, query.bucket)?;
            let mut select = connection.prepare_cached(
                "SELECT key, size, etag, modified_at, checksum, properties FROM s3_objects
                 WHERE bucket = ?1 AND key >= ?2 ORDER BY key LIMIT 1000",
            )?;
            let mut page = Page::default();
            page.next = walk(query, |from, visit| {
                let mut rows = select.query((query.bucket, from))?;
                let mut read = 0;
                while let Some(row) = rows.next()? {
                    read += 1;
                    let key = row_key(row.get(0)?)?;
                    match visit(key) {
                        Step::Take(Entry::Key(key)) => page.objects.push(Row {
                            key,
                            size: row.get(1)?,
                            etag: row.get(2)?,
                            modified_at: row.get(3)?,
                            checksum: serde_json::from_str(&row.get::<_, String>(4)?)?,
                            storage_class: serde_json::from_str::<Properties>(
                                &row.get::<_, String>(5)?,
                            )?
                            .storage_class,
                        }),
                        Step::Take(Entry::CommonPrefix(prefix)) => {
                            page.common_prefixes.push(prefix);
                            return Ok(true);
                        }
                        Step::Skip => {}
                        Step::Seek => return Ok(true),
                        Step::Stop => return Ok(false),
                    }
                }
                Ok(read == 1000)
            })?;
            Ok(page)
        })
    }
}

/// What to do about a key that a walk came upon.
#[derive(Debug)]
pub(super) enum Step {
    /// It makes an entry; after a common prefix the walk goes on behind it.
    Take(Entry),
    /// It makes none.
    Skip,
    /// Nothing until the walk goes on elsewhere makes one.
    Seek,
    /// The page, or what begins with the prefix, is at its end.
    Stop,
}

/// Walks over keys in order and makes the entries of a page, and returns the last of them if there are more.
///
/// `scan` visits keys from the one that it is given on, ascending, until a step ends it; it answers whether there is
/// more to visit.
pub(super) fn walk(
    query: Query<'_>,
    mut scan: impl FnMut(&[u8], &mut dyn FnMut(String) -> Step) -> Result<bool, Fault>,
) -> Result<Option<String>, Fault> {
    if query.max == 0 {
        return Ok(None);
    }
    let mut from = query.prefix.as_bytes().max(query.after).to_vec();
    let mut taken = 0;
    let mut last = None;
    let mut truncated = false;
    loop {
        let mut seek = None;
        let more = scan(&from, &mut |key| {
            if !key.starts_with(query.prefix) {
                return Step::Stop;
            }
            let entry = entry(&key, query.prefix, query.delimiter);
            let (Entry::Key(text) | Entry::CommonPrefix(text)) = &entry;
            // Where the walk goes on if the scan ends here.
            seek = match &entry {
                Entry::Key(key) => Some([key.as_bytes(), b"\0"].concat()),
                Entry::CommonPrefix(prefix) => behind(prefix.as_bytes()),
            };
            if !query.after.is_empty() && text.as_bytes() <= query.after {
                return match entry {
                    Entry::Key(_) => Step::Skip,
                    Entry::CommonPrefix(_) => Step::Seek,
                };
            }
            if taken == query.max {
                truncated = true;
                return Step::Stop;
            }
            taken += 1;
            last = Some(text.clone());
            Step::Take(entry)
        })?;
        match seek {
            Some(next) if more => from = next,
            _ => return Ok(last.filter(|_| truncated)),
        }
    }
}

/// The entry that a key makes in a list.
fn entry(key: &str, prefix: &str, delimiter: &str) -> Entry {
    let end = match delimiter {
        "" => None,
        _ => key[prefix.len()..].find(delimiter),
    };
    match end {
        Some(end) => Entry::CommonPrefix(key[..prefix.len() + end + delimiter.len()].to_owned()),
        None => Entry::Key(key.to_owned()),
    }
}

/// The least bytes that come after everything that begins with these; `None` if nothing does.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let end = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut next = prefix[..=end].to_vec();
    next[end] += 1;
    Some(next)
}

/// A key out of a row.
pub(super) fn row_key(key: Vec<u8>) -> rusqlite::Result<String> {
    String::from_utf8(key).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(error))
    })
}

/// The size of a page: what the client asks for, within what S3 gives.
pub(super) fn page_size(name: &str, asked: Option<i32>, max: u32) -> Result<u32, Fault> {
    match asked.map(u32::try_from) {
        None => Ok(max),
        Some(Ok(size)) => Ok(size.min(max)),
        Some(Err(_)) => Err(refuse(
            S3ErrorCode::InvalidArgument,
            format!("Argument {name} must be an integer between 0 and 2147483647."),
        )),
    }
}

/// A continuation token is the last entry of the page before, in hexadecimal.
fn read_token(token: &str) -> Result<Vec<u8>, Fault> {
    let pair = |pair: &[u8]| -> Option<u8> {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    token
        .as_bytes()
        .chunks(2)
        .map(|digits| pair(digits).filter(|_| digits.len() == 2))
        .collect::<Option<_>>()
        .ok_or_else(no_token)
}

fn no_token() -> Fault {
    refuse(S3ErrorCode::InvalidArgument, "The continuation token provided is incorrect")
}

/// How keys are written into a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoder {
    url: bool,
}

impl Encoder {
    pub(super) fn new(encoding: Option<&EncodingType>) -> Result<Self, Fault> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Self { url: false }),
            Some(EncodingType::URL) => Ok(Self { url: true }),
            Some(_) => Err(refuse(
                S3ErrorCode::InvalidArgument,
                "Invalid Encoding Method specified in Request",
            )),
        }
    }

    pub(super) fn text(self, key: String) -> String {
        if self.url { encode_key(&key) } else { key }
    }

    pub(super) fn objects(self, rows: Vec<Row>, with_owner: bool) -> Vec<Listed> {
        let listed = rows.into_iter().map(|row| Listed {
            key: Some(self.text(row.key)),
            size: Some(row.size),
            e_tag: Some(ETag::Strong(row.etag)),
            last_modified: Some(timestamp(row.modified_at)),
            checksum_algorithm: Some(vec![ChecksumAlgorithm::from_static(
                row.checksum.algorithm.name(),
            )]),
            checksum_type: Some(ChecksumType::from_static(row.checksum.scope.name())),
            storage_class: Some(ObjectStorageClass::from(
                row.storage_class.unwrap_or_else(|| ObjectStorageClass::STANDARD.to_owned()),
            )),
            owner: with_owner.then(owner),
            restore_status: None,
        });
        listed.collect()
    }

    pub(super) fn common_prefixes(self, prefixes: Vec<String>) -> Vec<CommonPrefix> {
        let encoded = prefixes.into_iter().map(|prefix| self.text(prefix));
        encoded.map(|prefix| CommonPrefix { prefix: Some(prefix) }).collect()
    }
}

/// Reads rows for [`walk`] whose first column is the key.
pub(super) fn keys_from(
    connection: &Connection,
    sql: &str,
    bucket: &str,
    from: &[u8],
) -> Result<Vec<String>, Fault> {
    let keys = connection
        .prepare_cached(sql)?
        .query_map((bucket, from), |row| row_key(row.get(0)?))?
        .collect::<Result<_, _>>()?;
    Ok(keys)
}
