//! Lists of the multipart uploads that are under way, and of their parts.

use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, ETag, Initiator, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload, Part as Listed,
    StorageClass,
};

use super::{
    S3,
    buckets::{self, owner},
    digests::show_checksum,
    fault::Fault,
    listing::{self, Encoder, Entry, PAGE_MAX, Query, Step, page_size, walk},
    multipart::{Part, Summing, find_parts},
    notification::OWNER_ID,
    objects::timestamp,
};

impl S3 {
    pub(super) fn list_parts_of(&self, input: ListPartsInput) -> Result<ListPartsOutput, Fault> {
        let max = page_size("max-parts", input.max_parts, PAGE_MAX)?;
        let summing = self.upload(&input.bucket, &input.key, &input.upload_id)?.summing;
        let marker = input.part_number_marker.unwrap_or(0);
        let mut parts = self.db.read(|connection| find_parts(connection, &input.upload_id))?;
        parts.retain(|part| part.number > marker);
        let more = parts.len() > max as usize;
        parts.truncate(max as usize);
        let next = Some(parts.last().map_or(0, |part| part.number));
        let (algorithm, checksum_type) = shown(summing);
        Ok(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            max_parts: Some(max.cast_signed()),
            part_number_marker: Some(marker),
            next_part_number_marker: next,
            is_truncated: Some(more),
            parts: Some(parts.into_iter().map(|part| list_part(part, summing)).collect()),
            owner: Some(owner()),
            initiator: Some(initiator()),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            checksum_algorithm: algorithm,
            checksum_type,
            ..ListPartsOutput::default()
        })
    }

    pub(super) fn list_uploads(
        &self,
        input: ListMultipartUploadsInput,
    ) -> Result<ListMultipartUploadsOutput, Fault> {
        let max = page_size("max-uploads", input.max_uploads, PAGE_MAX)?;
        let encode = Encoder::new(input.encoding_type.as_ref())?;
        let page = self.page_of_uploads(&input, max)?;
        let next = page.more.then_some(page.last).flatten();
        let (next_key, next_id) = next.unzip();
        let uploads = page.uploads.into_iter().map(|(key, id, initiated_at, summing)| {
            let (checksum_algorithm, checksum_type) = shown(summing);
            MultipartUpload {
                key: Some(encode.text(key)),
                upload_id: Some(id),
                initiated: Some(timestamp(initiated_at)),
                initiator: Some(initiator()),
                owner: Some(owner()),
                storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
                checksum_algorithm,
                checksum_type,
            }
        });
        Ok(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            uploads: Some(uploads.collect()),
            common_prefixes: Some(encode.common_prefixes(page.common_prefixes)),
            is_truncated: Some(page.more),
            key_marker: Some(encode.text(input.key_marker.unwrap_or_default())),
            upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
            next_key_marker: next_key.map(|key| encode.text(key)),
            next_upload_id_marker: next_id.filter(|id| !id.is_empty()),
            prefix: Some(encode.text(input.prefix.unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| encode.text(delimiter)),
            max_uploads: Some(max.cast_signed()),
            encoding_type: input.encoding_type,
            request_charged: None,
        })
    }

    fn page_of_uploads(&self, input: &ListMultipartUploadsInput, max: u32) -> Result<Page, Fault> {
        let key_marker = input.key_marker.as_deref().unwrap_or_default();
        let id_marker = input.upload_id_marker.as_deref().unwrap_or_default();
        let mut page = Page::default();
        self.db.read(|connection| {
            buckets::check(connection, &input.bucket)?;
            let mut select = connection.prepare_cached(
                "SELECT id, initiated_at, summing FROM s3_uploads
                 WHERE bucket = ?1 AND key = ?2 AND id > ?3 ORDER BY id",
            )?;
            let mut take = |key: &str, after: &str, page: &mut Page| -> Result<(), Fault> {
                let mut rows = select.query((&input.bucket, key.as_bytes(), after))?;
                while let Some(row) = rows.next()? {
                    if page.is_full(max) {
                        return Ok(());
                    }
                    let id: String = row.get(0)?;
                    page.last = Some((key.to_owned(), id.clone()));
                    let summing = serde_json::from_str(&row.get::<_, String>(2)?)?;
                    page.uploads.push((key.to_owned(), id, row.get(1)?, summing));
                }
                Ok(())
            };
            // The page before may have ended among the uploads of one key.
            if !id_marker.is_empty() {
                take(key_marker, id_marker, &mut page)?;
            }
            let query = Query {
                bucket: &input.bucket,
                prefix: input.prefix.as_deref().unwrap_or_default(),
                delimiter: input.delimiter.as_deref().unwrap_or_default(),
                after: key_marker.as_bytes(),
                // As every key has an upload at least, the page is full before the walk is.
                max: max.saturating_add(1),
            };
            walk(query, |from, visit| {
                let keys = listing::keys_from(
                    connection,
                    "SELECT DISTINCT key FROM s3_uploads
                     WHERE bucket = ?1 AND key >= ?2 ORDER BY key LIMIT 1000",
                    &input.bucket,
                    from,
                )?;
                let full = keys.len() == 1000;
                for key in keys {
                    let step = visit(key);
                    if page.is_full(max) && matches!(step, Step::Take(_)) {
                        return Ok(false);
                    }
                    match step {
                        Step::Take(Entry::Key(key)) => take(&key, "", &mut page)?,
                        Step::Take(Entry::CommonPrefix(prefix)) => {
                            page.last = Some((prefix.clone(), String::new()));
                            page.common_prefixes.push(prefix);
                            return Ok(true);
                        }
                        Step::Skip => {}
                        Step::Seek => return Ok(true),
                        Step::Stop => return Ok(false),
                    }
                }
                Ok(full)
            })
            .map(drop)
        })?;
        Ok(page)
    }
}

/// A page of uploads.
#[derive(Debug, Default)]
struct Page {
    uploads: Vec<(String, String, i64, Summing)>,
    common_prefixes: Vec<String>,
    /// The key, or common prefix, and the upload that the page ends with.
    last: Option<(String, String)>,
    more: bool,
}

impl Page {
    /// Asked before another entry is added: if the page is full, there is more than it holds.
    fn is_full(&mut self, max: u32) -> bool {
        let full = self.uploads.len() + self.common_prefixes.len() >= max as usize;
        self.more |= full && max > 0;
        full
    }
}

fn list_part(part: Part, summing: Summing) -> Listed {
    let mut listed = Listed {
        part_number: Some(part.number),
        size: i64::try_from(part.size).ok(),
        e_tag: Some(ETag::Strong(part.etag)),
        last_modified: Some(timestamp(part.modified_at)),
        ..Listed::default()
    };
    if summing.chosen {
        show_checksum!(listed, part.checksum);
    }
    listed
}

fn shown(summing: Summing) -> (Option<ChecksumAlgorithm>, Option<ChecksumType>) {
    let algorithm = ChecksumAlgorithm::from_static(summing.algorithm.name());
    let scope = ChecksumType::from_static(summing.scope.name());
    (summing.chosen.then_some(algorithm), summing.chosen.then_some(scope))
}

fn initiator() -> Initiator {
    Initiator { id: Some(OWNER_ID.to_owned()), display_name: None }
}
