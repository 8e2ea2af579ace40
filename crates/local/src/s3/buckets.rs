//! Buckets: made, listed, found and deleted.

use rusqlite::{Connection, OptionalExtension};
use s3s::{
    S3ErrorCode,
    dto::{
        Bucket, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, DeleteBucketInput,
        GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput,
        ListBucketsInput, ListBucketsOutput, Owner,
    },
};

use super::{S3, fault::Fault, listing::page_size, notification::OWNER_ID, objects::timestamp};
use crate::identity::REGION;

/// How many buckets a page lists at most.
const PAGE_MAX: u32 = 10_000;

impl S3 {
    pub(super) fn make_bucket(
        &self,
        input: &CreateBucketInput,
    ) -> Result<CreateBucketOutput, Fault> {
        let location = input
            .create_bucket_configuration
            .as_ref()
            .and_then(|configuration| configuration.location_constraint.as_ref())
            .map(BucketLocationConstraint::as_str);
        if location.is_some_and(|location| !is_location(location)) {
            let refused = Fault::from(S3ErrorCode::InvalidLocationConstraint);
            return Err(refused.with("LocationConstraint", location.unwrap_or_default()));
        }
        // https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
        // "For legacy compatibility, if you re-create an existing bucket that you already own in us-east-1, Amazon S3 returns
        // 200 OK"
        let there = self.db.write(|tx| {
            let is_made = insert(tx, &input.bucket, location)?;
            Ok::<_, Fault>(if is_made { None } else { Some(self::location(tx, &input.bucket)?) })
        })?;
        if there.is_some_and(|there| there.is_some() || location.is_some()) {
            return Err(S3ErrorCode::BucketAlreadyOwnedByYou.into());
        }
        let location = Some(format!("/{}", input.bucket));
        Ok(CreateBucketOutput { location })
    }

    pub(super) async fn remove_bucket(&self, input: DeleteBucketInput) -> Result<(), Fault> {
        let bucket = input.bucket;
        let parts = self.db.write(|tx| {
            check(tx, &bucket)?;
            let occupied = tx
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM s3_objects WHERE bucket = ?1)")?
                .query_row([&bucket], |row| row.get(0))?;
            if occupied {
                return Err(Fault::from(S3ErrorCode::BucketNotEmpty));
            }
            // Uploads that are under way do not hold a bucket: they end with it.
            let parts = tx
                .prepare_cached(
                    "SELECT blob FROM s3_parts JOIN s3_uploads ON id = upload WHERE bucket = ?1",
                )?
                .query_map([&bucket], |row| row.get(0))?
                .collect::<Result<Vec<String>, _>>()?;
            tx.prepare_cached("DELETE FROM s3_uploads WHERE bucket = ?1")?.execute([&bucket])?;
            tx.prepare_cached("DELETE FROM s3_buckets WHERE name = ?1")?.execute([&bucket])?;
            Ok(parts)
        })?;
        self.blobs.discard(&bucket, parts).await;
        self.blobs.remove_folder(&bucket).await;
        Ok(())
    }

    pub(super) fn find_bucket(&self, input: &HeadBucketInput) -> Result<HeadBucketOutput, Fault> {
        let location = self.db.read(|connection| location(connection, &input.bucket))?;
        Ok(HeadBucketOutput {
            bucket_region: Some(location.unwrap_or_else(|| REGION.to_owned())),
            ..HeadBucketOutput::default()
        })
    }

    pub(super) fn bucket_location(
        &self,
        input: &GetBucketLocationInput,
    ) -> Result<GetBucketLocationOutput, Fault> {
        let location = self.db.read(|connection| location(connection, &input.bucket))?;
        // https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html
        // "Buckets in Region us-east-1 have a LocationConstraint of null."
        let constraint = location.filter(|location| location != REGION);
        Ok(GetBucketLocationOutput {
            location_constraint: constraint.map(BucketLocationConstraint::from),
        })
    }

    pub(super) fn list_all_buckets(
        &self,
        input: ListBucketsInput,
    ) -> Result<ListBucketsOutput, Fault> {
        let max = page_size("max-buckets", input.max_buckets, PAGE_MAX)?;
        let after = input.continuation_token.unwrap_or_default();
        let prefix = input.prefix.clone().unwrap_or_default();
        let mut found: Vec<(String, Option<String>, i64)> = self.db.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT name, location, created_at FROM s3_buckets
                     WHERE name > ?1 AND substr(name, 1, length(?2)) = ?2
                       AND (?3 IS NULL OR coalesce(location, ?4) = ?3)
                     ORDER BY name LIMIT ?5",
                )?
                .query_map((&after, &prefix, &input.bucket_region, REGION, max + 1), |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?
                .collect::<Result<_, rusqlite::Error>>()
        })?;
        let more = found.len() > max as usize;
        found.truncate(max as usize);
        let continuation_token = found.last().filter(|_| more).map(|(name, _, _)| name.clone());
        let buckets = found.into_iter().map(|(name, location, created_at)| Bucket {
            name: Some(name),
            bucket_region: Some(location.unwrap_or_else(|| REGION.to_owned())),
            creation_date: Some(timestamp(created_at)),
        });
        Ok(ListBucketsOutput {
            buckets: Some(buckets.collect()),
            continuation_token,
            owner: Some(owner()),
            prefix: input.prefix,
        })
    }
}

/// Whether a bucket can be said to lie there: a Region by the form of its name, but the one that is not named.
fn is_location(location: &str) -> bool {
    let mut parts = location.rsplitn(3, '-');
    let [number, direction, area] = [parts.next(), parts.next(), parts.next()];
    let is_word = |part: Option<&str>| {
        part.is_some_and(|it| {
            !it.is_empty() && it.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        })
    };
    let is_number =
        number.is_some_and(|it| it.len() == 1 && it.bytes().all(|b| b.is_ascii_digit()));
    location == "EU" || (location != REGION && is_number && is_word(direction) && is_word(area))
}

/// Who owns everything here.
pub(super) fn owner() -> Owner {
    Owner { id: Some(OWNER_ID.to_owned()), display_name: None }
}

/// Records a bucket; `false` if it is there already.
pub(super) fn insert(
    connection: &Connection,
    name: &str,
    location: Option<&str>,
) -> rusqlite::Result<bool> {
    let inserted = connection
        .prepare_cached("INSERT OR IGNORE INTO s3_buckets VALUES (?1, ?2, ?3)")?
        .execute((name, location, jiff::Timestamp::now().as_second()))?;
    Ok(inserted > 0)
}

/// Refuses a bucket that is not there.
pub(super) fn check(connection: &Connection, bucket: &str) -> Result<(), Fault> {
    location(connection, bucket).map(drop)
}

fn location(connection: &Connection, bucket: &str) -> Result<Option<String>, Fault> {
    connection
        .prepare_cached("SELECT location FROM s3_buckets WHERE name = ?1")?
        .query_row([bucket], |row| row.get(0))
        .optional()?
        .ok_or_else(|| S3ErrorCode::NoSuchBucket.into())
}
